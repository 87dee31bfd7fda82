"""What a user wants to be told, and by which channels: read as it is stored, and judged by."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

from galaxy_notify.model.ids import CHANNEL
from galaxy_notify.model.quiet import Quiet, is_zone, minute_of, quiet_until

T = TypeVar("T")

#: From the least to the most pressing.
SEVERITIES: Final = ("info", "notice", "warning", "critical")
#: What no quiet hours hold back.
CRITICAL: Final = "critical"
#: The fields of a user's hash; of one type it is ``type:<type>``.
EVERY_TYPE: Final = "*"
SILENCED: Final = "silenced"
QUIET: Final = "quiet"
#: The value of the field that silences a user.
YES: Final = b"1"
#: A longer field is none of ours.
LONGEST: Final = 4096
#: So many channels one preference may name.
MOST_CHANNELS: Final = 64

_RANK: Final = {name: rank for rank, name in enumerate(SEVERITIES)}
_CHANNEL: Final = re.compile(CHANNEL)


class Reason(StrEnum):
    """Why a route was skipped."""

    SILENCED = "silenced"
    NO_CHANNELS = "no_channels"
    CHANNEL_NOT_WANTED = "channel_not_wanted"
    BELOW_MINIMUM = "below_minimum"
    QUIET_HOURS = "quiet_hours"


class PreferenceFields(NamedTuple):
    """What is stored of one user that concerns one type, as bytes; None where nothing is."""

    of_type: bytes | None = None
    of_every_type: bytes | None = None
    silenced: bytes | None = None
    quiet: bytes | None = None


class Preference(NamedTuple):
    """The channels for a type, and from which severity on; None leaves it to what is behind it."""

    channels: tuple[str, ...] | None = None
    min_severity: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as it is stored and shown."""
        found: dict[str, Any] = {}
        if self.channels is not None:
            found["channels"] = list(self.channels)
        if self.min_severity is not None:
            found["min_severity"] = self.min_severity
        return found


class DeliveryRequest(NamedTuple):
    """What an intent asks for, the same for each of its recipients.

    *named* says that it named its *channels* itself. Where it did not, the *defaults* stand in,
    or whatever of the deployment's *known* channels a recipient wants. Quiet hours defer what
    goes by the channels of *deferring*.
    """

    channels: tuple[str, ...]
    named: bool
    severity: str
    known: tuple[str, ...]
    mandatory: bool = False
    defaults: tuple[str, ...] = ("push",)
    deferring: tuple[str, ...] = ("push",)


class Delivery(NamedTuple):
    """A channel that delivers: when it was going to, unless quiet hours *defer* it to later."""

    channel: str
    deferred_to_ms: int | None = None


class Skip(NamedTuple):
    """A channel that does not deliver, and why."""

    channel: str
    reason: Reason


class ChannelDecision(NamedTuple):
    """What becomes of one recipient's routes."""

    deliveries: tuple[Delivery, ...] = ()
    skips: tuple[Skip, ...] = ()


def judge(
    asked: DeliveryRequest, stored: PreferenceFields, due_ms: int, expires_at_ms: int | None
) -> ChannelDecision:
    """Say by which channels one recipient is told, when, and by which not and why.

    The first rule that speaks decides: a mandatory type, silence, the channels that are wanted,
    the severity, the quiet hours. What cannot be read counts as not there; nothing raises.
    """
    ruling = _ruling(asked, *map(_bounded, stored[:3]))
    raw = _bounded(stored.quiet)
    if raw is None or not ruling.deliveries or asked.mandatory or asked.severity == CRITICAL:
        return ruling
    quiet = decode_quiet(raw)
    until_ms = quiet and quiet_until(quiet, due_ms)
    if until_ms is None:
        return ruling
    return _deferred(ruling, asked.deferring, until_ms, expires_at_ms)


# Of the longest fields there may be, what is kept is some ten megabytes.
@lru_cache(maxsize=2048)
def _ruling(
    asked: DeliveryRequest,
    of_type: bytes | None,
    of_every_type: bytes | None,
    silenced: bytes | None,
) -> ChannelDecision:
    """Judge by everything but the quiet hours; most recipients want the same."""
    channels = tuple(dict.fromkeys(asked.channels if asked.named else asked.defaults))
    if asked.mandatory:
        return ChannelDecision(tuple(map(Delivery, channels)))
    if silenced == YES:
        return _skipped(channels, Reason.SILENCED)
    special, general = _preference(of_type), _preference(of_every_type)
    wanted = general.channels if special.channels is None else special.channels
    if wanted == ():
        return _skipped(channels, Reason.NO_CHANNELS)
    found = _by_channel(asked, channels, wanted)
    if _RANK.get(asked.severity, 0) < _RANK[special.min_severity or general.min_severity or "info"]:
        below = (Skip(delivery.channel, Reason.BELOW_MINIMUM) for delivery in found.deliveries)
        return ChannelDecision((), (*found.skips, *below))
    return found


def _by_channel(
    asked: DeliveryRequest, channels: tuple[str, ...], wanted: tuple[str, ...] | None
) -> ChannelDecision:
    if wanted is None:
        return ChannelDecision(tuple(map(Delivery, channels)))
    if asked.named:
        told = tuple(Delivery(channel) for channel in channels if channel in wanted)
        unwanted = tuple(channel for channel in channels if channel not in wanted)
        return ChannelDecision(told, _skipped(unwanted, Reason.CHANNEL_NOT_WANTED).skips)
    told = tuple(Delivery(channel) for channel in wanted if channel in asked.known)
    return ChannelDecision(told) if told else _skipped(channels, Reason.CHANNEL_NOT_WANTED)


def _skipped(channels: tuple[str, ...], reason: Reason) -> ChannelDecision:
    return ChannelDecision((), tuple(Skip(channel, reason) for channel in channels))


def _deferred(
    ruling: ChannelDecision, deferring: tuple[str, ...], until_ms: int, expires_at_ms: int | None
) -> ChannelDecision:
    """Defer what disturbs; what would come too late is skipped."""
    too_late = expires_at_ms is not None and until_ms >= expires_at_ms
    told: list[Delivery] = []
    skips = list(ruling.skips)
    for delivery in ruling.deliveries:
        if delivery.channel not in deferring:
            told.append(delivery)
        elif too_late:
            skips.append(Skip(delivery.channel, Reason.QUIET_HOURS))
        else:
            told.append(Delivery(delivery.channel, until_ms))
    return ChannelDecision(tuple(told), tuple(skips))


def _bounded(raw: bytes | None) -> bytes | None:
    return None if raw is None or len(raw) > LONGEST else raw


def _preference(raw: bytes | None) -> Preference:
    return (raw is not None and decode_preference(raw)) or _NONE


@lru_cache(maxsize=2048)
def decode_preference(raw: bytes) -> Preference | None:
    """Read a stored preference; None where it is none."""
    return _decoded(raw, read_preference)


@lru_cache(maxsize=2048)
def decode_quiet(raw: bytes) -> Quiet | None:
    """Read stored quiet hours; None where they are none."""
    return _decoded(raw, read_quiet)


def encode(stored: Preference | Quiet) -> bytes:
    """Return what to store."""
    return json.dumps(stored.as_json(), separators=(",", ":")).encode()


def read_preference(fields: dict[str, Any]) -> Preference | None:
    """Read a preference from what JSON says of it; fields of later versions are passed over."""
    channels, least = fields.get("channels"), fields.get("min_severity")
    if least is not None and not (isinstance(least, str) and least in _RANK):
        return None
    if channels is None:
        return Preference(None, least)
    if not isinstance(channels, list) or len(channels) > MOST_CHANNELS:
        return None
    if not all(isinstance(name, str) and _CHANNEL.fullmatch(name) for name in channels):
        return None
    return Preference(tuple(sorted(set(channels))), least)


def read_quiet(fields: dict[str, Any]) -> Quiet | None:
    """Read quiet hours from what JSON says of them."""
    start, end, zone = (
        minute_of(fields.get("from")),
        minute_of(fields.get("to")),
        fields.get("zone"),
    )
    if start is None or end is None or not isinstance(zone, str) or not is_zone(zone):
        return None
    return Quiet(start, end, zone)


def _decoded(raw: bytes, read: Callable[[dict[str, Any]], T | None]) -> T | None:
    if len(raw) > LONGEST:
        return None
    try:
        fields = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return read(fields) if isinstance(fields, dict) else None


_NONE: Final = Preference()
