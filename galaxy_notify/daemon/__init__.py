"""The process: its parts, signals, outages, drain, and what it tells systemd."""

from galaxy_notify.daemon.process import Daemon

__all__ = ["Daemon"]
