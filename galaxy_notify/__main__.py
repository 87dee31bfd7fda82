"""``python -m galaxy_notify``: the same as the command ``galaxy-notify``."""

from galaxy_notify.cli import main

if __name__ == "__main__":
    main()
