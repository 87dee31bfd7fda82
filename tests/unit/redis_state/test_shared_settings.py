"""What a deployment agrees on, and what follows from it."""

from __future__ import annotations

import pytest

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_state.joining import read_deployment
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.settings import settings_from

DAY = 86_400_000


def test_keep_ms__is_no_shorter_than_any_cooldown_that_it_may_tell_of() -> None:
    """Of a known type its own; where the type is not known, the longest."""
    short = SharedSettings(settled_ms=1000, idempotency_ms=2000)
    assert [short.keep_ms(keyed=keyed) for keyed in (False, True)] == [1000, 2000]
    made = SharedSettings(
        settled_ms=1000,
        idempotency_ms=2000,
        cooldown_ms=DAY,
        cooldowns=(f"week={7 * DAY}", "none=0"),
    )
    found = [made.keep_ms(keyed=True, kind=kind) for kind in ("chat", "week", "none")]
    assert found == [DAY, 7 * DAY, 2000]
    assert made.keep_ms(keyed=True) == 7 * DAY


@pytest.mark.parametrize("reply", [None, 17, True, b"17", [], [b"2"], {b"2"}])
def test_deployment__of_a_garbled_reply_is_a_fault_and_no_crash(reply: object) -> None:
    """What a link has garbled is asked for again; it ends no daemon that is about to start."""

    reading = read_deployment("gn")
    next(reading)
    with pytest.raises(RedisFault) as error:
        reading.send([reply])
    assert (error.value.fault.code, error.value.fault.remedy) == ("reply", Remedy.RESOLVE)


def test_meta__says_which_channels_are_external_and_how_late() -> None:
    """What is written is what is read; deployments of an earlier version say nothing."""
    channels = {"mail": {"kind": "log", "delay_ms": 7}, "hooks": {"kind": "log"}}
    settings = settings_from({"worker": {"channels": ["push", *channels]}, "channels": channels})
    made = SharedSettings.from_settings(settings)
    assert (made.external, made.delays) == (("hooks", "mail"), ("mail=7",))
    assert (made.delay_of("mail"), made.delay_of("push"), made.longest_delay_ms) == (7, 0, 7)
    meta = {name.encode(): value.encode() for name, value in made.as_meta().items()}
    assert SharedSettings.from_meta(meta) == made
    older = SharedSettings.from_meta({b"format": b"2", b"channels": b"push"})
    assert (older.external, older.delays, older.longest_delay_ms) == ((), (), 0)
    assert older.delay_of("push") == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("delays", b"mail"),
        ("delays", b"mail="),
        ("delays", b"mail=0"),
        ("delays", b"mail=-1"),
        ("delays", b"mail=1,"),
        ("delays", b"mail=1.5"),
        ("delays", b"Mail=1"),
        ("delays", b"mail=100000000000"),
        ("delays", b"\xff=1"),
        ("external", b"Mail"),
        ("external", b"mail,,hooks"),
        ("external", b"ma\xffil"),
    ],
)
def test_meta__that_is_wrong_is_named(field: str, value: bytes) -> None:
    """No producer guesses: it names the field, and the next daemon writes it again."""
    with pytest.raises(ConfigurationError, match=f"meta field {field} cannot be "):
        SharedSettings.from_meta({field.encode(): value})
