"""What producers and operators were told: the side of the bargain that the checker holds to."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Promise:
    """One intent, and what its producer knows of it."""

    notification_id: str
    intent: Mapping[str, Any]
    #: Whether an answer came; without one it may be there or not.
    is_accepted: bool = False
    #: What was answered to a cancel: None where none was asked, or none was heard.
    cancelled: int | None = None
    is_cancel_asked: bool = False

    @property
    def members(self) -> list[str]:
        """Return the routes that it stands for, where it was not divided into parts."""
        channels = self.intent.get("channels", ["push"])
        recipients = self.intent["recipients"]
        return [f"{self.notification_id}/{c}:{user}" for c in channels for user in recipients]


@dataclass
class Journal:
    """Every promise of a run; producers in any thread write it."""

    promises: dict[str, Promise] = field(default_factory=dict)
    #: Dead letters whose replay an operator was told of.
    replayed: set[str] = field(default_factory=set)
    unavailable: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self, notification_id: str, intent: Mapping[str, Any]) -> Promise:
        """Write down that it is being handed in; nothing is promised yet."""
        with self._lock:
            return self.promises.setdefault(notification_id, Promise(notification_id, intent))

    def no_answer(self) -> None:
        """Write down that a call ended without an answer."""
        with self._lock:
            self.unavailable += 1

    @property
    def routes(self) -> int:
        """Return how many routes were accepted for certain."""
        with self._lock:
            promises = [*self.promises.values()]
        return sum(len(one.members) for one in promises if one.is_accepted)
