"""The process: its parts, signals, outages, drain, and what it reports to systemd."""

from galaxy_notify.daemon.process import Daemon

__all__ = ["Daemon"]
