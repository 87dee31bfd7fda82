"""Preferences of a user: decoding the stored fields, and deciding by them on each channel."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

from galaxy_notify.model.decision import ChannelDecision, Delivery, Reason, Skip, Timing
from galaxy_notify.model.ids import CHANNEL
from galaxy_notify.model.quiet import Quiet, is_zone, minute_of

T = TypeVar("T")

#: From the lowest to the highest.
SEVERITIES: Final = ("info", "notice", "warning", "critical")
#: The severity that quiet hours never defer.
CRITICAL: Final = "critical"
#: The fields of a user's hash; the preference of one type is ``type:<type>``.
EVERY_TYPE: Final = "*"
SILENCED: Final = "silenced"
QUIET: Final = "quiet"
#: Precedes the field of a type, or of every type, in the name of its field about the feed.
#: That is a field of its own, so that producers of earlier versions still read the others.
IN_APP_OF: Final = "in_app:"
#: The value of the field that silences a user; fields about the feed have either.
YES: Final = b"1"
NO: Final = b"0"
#: The channel of the feed; a preference's list of channels says nothing about it.
IN_APP: Final = "in_app"
#: A longer field, in bytes, is invalid.
LONGEST: Final = 4096
#: The most channels in one preference.
MOST_CHANNELS: Final = 64

_RANK: Final = {name: rank for rank, name in enumerate(SEVERITIES)}
_CHANNEL: Final = re.compile(CHANNEL)


class PreferenceFields(NamedTuple):
    """The stored fields of one user that concern one type, as bytes; None if not set."""

    of_type: bytes | None = None
    of_every_type: bytes | None = None
    silenced: bytes | None = None
    quiet: bytes | None = None
    in_app_of_type: bytes | None = None
    in_app_of_every_type: bytes | None = None

    @property
    def wants_in_app(self) -> bool:
        """Whether the user wants the feed; True unless a preference says no."""
        for said in (self.in_app_of_type, self.in_app_of_every_type):
            if said in (YES, NO):
                return said == YES
        return True


class Preference(NamedTuple):
    """What a user wants of a type; None falls back to the next preference.

    *channels* are the channels other than `in_app`, which has the field *in_app* of its own.
    """

    channels: tuple[str, ...] | None = None
    min_severity: str | None = None
    in_app: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that is shown."""
        fields: dict[str, Any] = {}
        if self.channels is not None:
            fields["channels"] = list(self.channels)
        if self.min_severity is not None:
            fields["min_severity"] = self.min_severity
        if self.in_app is not None:
            fields["in_app"] = self.in_app
        return fields


class DeliveryRequest(NamedTuple):
    """The delivery that an intent asks for, the same for each of its recipients.

    *names_channels*: the intent names its *channels*. Otherwise the channels are those of the
    recipient's preference that the deployment has (*known*), or the *defaults*. Quiet hours defer
    deliveries by the channels in *deferring*, but never `in_app`. *delays* are pairs of a channel
    and how much later than the notification it delivers, in ms.
    """

    channels: tuple[str, ...]
    names_channels: bool
    severity: str
    known: tuple[str, ...]
    mandatory: bool = False
    defaults: tuple[str, ...] = ("push",)
    deferring: tuple[str, ...] = ("push",)
    delays: tuple[tuple[str, int], ...] = ()


def judge(
    request: DeliveryRequest, stored: PreferenceFields, due_ms: int, expires_at_ms: int | None
) -> ChannelDecision:
    """Return which channels deliver to one recipient and when, and why the others do not.

    The first matching rule decides: a mandatory type, silence, the preferred channels, the
    severity, the quiet hours with the delays. Invalid fields count as missing; nothing raises.
    """
    decision = _decide_without_quiet(request, *map(_bounded, stored[:3]), stored.wants_in_app)
    if not decision.deliveries or (stored.quiet is None and not request.delays):
        return decision
    timing = timing_of(request, stored, due_ms, expires_at_ms)
    return decision if timing.changes_nothing else timing.applied(decision)


def timing_of(
    request: DeliveryRequest, stored: PreferenceFields, due_ms: int, expires_at_ms: int | None
) -> Timing:
    """Return what decides when the deliveries to one recipient are due."""
    raw = _bounded(stored.quiet)
    is_urgent = request.mandatory or request.severity == CRITICAL
    quiet = None if raw is None or is_urgent else decode_quiet(raw)
    deferring = tuple(channel for channel in request.deferring if channel != IN_APP)
    return Timing(due_ms, expires_at_ms, quiet, deferring, request.delays)


# With the longest possible fields the cache holds about ten megabytes.
@lru_cache(maxsize=2048)
def _decide_without_quiet(
    request: DeliveryRequest,
    of_type: bytes | None,
    of_every_type: bytes | None,
    silenced: bytes | None,
    wants_in_app: bool,
) -> ChannelDecision:
    """Decide by all rules but the quiet hours; cached, as most recipients have the same."""
    channels = tuple(
        dict.fromkeys(request.channels if request.names_channels else request.defaults)
    )
    if request.mandatory:
        return ChannelDecision(tuple(map(Delivery, channels)))
    if silenced == YES:
        return _skipped(channels, Reason.SILENCED)
    special, general = _preference(of_type), _preference(of_every_type)
    wanted = general.channels if special.channels is None else special.channels
    if wanted == ():
        return _skipped(channels, Reason.NO_CHANNELS)
    decision = _decide_by_channel(request, channels, wanted, wants_in_app)
    if (
        _RANK.get(request.severity, 0)
        < _RANK[special.min_severity or general.min_severity or "info"]
    ):
        # The feed interrupts no user, so it keeps what is less severe as well.
        kept = tuple(one for one in decision.deliveries if one.channel == IN_APP)
        below = (one.channel for one in decision.deliveries if one.channel != IN_APP)
        skips = (Skip(channel, Reason.BELOW_MINIMUM) for channel in below)
        return ChannelDecision(kept, (*decision.skips, *skips))
    return decision


def _decide_by_channel(
    request: DeliveryRequest,
    channels: tuple[str, ...],
    wanted: tuple[str, ...] | None,
    wants_in_app: bool,
) -> ChannelDecision:
    others = tuple(channel for channel in channels if channel != IN_APP)
    wanted = wanted and tuple(channel for channel in wanted if channel != IN_APP)
    decision = _decide_by_list(request, others, wanted)
    if IN_APP not in channels:
        return decision
    if wants_in_app:
        return decision._replace(deliveries=(*decision.deliveries, Delivery(IN_APP)))
    return decision._replace(skips=(*decision.skips, Skip(IN_APP, Reason.CHANNEL_NOT_WANTED)))


def _decide_by_list(
    request: DeliveryRequest, channels: tuple[str, ...], wanted: tuple[str, ...] | None
) -> ChannelDecision:
    """Decide about the channels that a preference lists."""
    if wanted is None:
        return ChannelDecision(tuple(map(Delivery, channels)))
    if request.names_channels:
        deliveries = tuple(Delivery(channel) for channel in channels if channel in wanted)
        unwanted = tuple(channel for channel in channels if channel not in wanted)
        return ChannelDecision(deliveries, _skipped(unwanted, Reason.CHANNEL_NOT_WANTED).skips)
    deliveries = tuple(Delivery(channel) for channel in wanted if channel in request.known)
    return (
        ChannelDecision(deliveries) if deliveries else _skipped(channels, Reason.CHANNEL_NOT_WANTED)
    )


def _skipped(channels: tuple[str, ...], reason: Reason) -> ChannelDecision:
    return ChannelDecision((), tuple(Skip(channel, reason) for channel in channels))


def _bounded(raw: bytes | None) -> bytes | None:
    return None if raw is None or len(raw) > LONGEST else raw


def _preference(raw: bytes | None) -> Preference:
    return (raw is not None and decode_preference(raw)) or _NONE


@lru_cache(maxsize=2048)
def decode_preference(raw: bytes) -> Preference | None:
    """Return a stored preference; None if it is invalid."""
    return _decoded(raw, read_preference)


@lru_cache(maxsize=2048)
def decode_quiet(raw: bytes) -> Quiet | None:
    """Return stored quiet hours; None if they are invalid."""
    return _decoded(raw, read_quiet)


def encode(stored: Preference | Quiet) -> bytes:
    """Return the bytes to store; what a preference says about the feed has a field of its own."""
    fields = {name: value for name, value in stored.as_json().items() if name != IN_APP}
    return json.dumps(fields, separators=(",", ":")).encode()


def read_preference(fields: dict[str, Any]) -> Preference | None:
    """Return the preference in a JSON object, or None; fields of later versions are ignored."""
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
    """Return the quiet hours in a JSON object, or None if they are invalid."""
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
