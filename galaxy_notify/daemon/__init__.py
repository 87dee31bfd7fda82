"""The publisher process: its parts, signals, outages, drain, and status for systemd."""

from galaxy_notify.daemon.process import Daemon

__all__ = ["Daemon"]
