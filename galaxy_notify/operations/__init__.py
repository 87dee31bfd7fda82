"""What operators ask for and do: dead letters, status, doctor, fsck."""
