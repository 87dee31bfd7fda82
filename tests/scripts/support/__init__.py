"""What the tests of the scripts share."""
