"""What a deployment agrees on, and what follows from it."""

from __future__ import annotations

import pytest

from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_state.joining import read_deployment
from galaxy_notify.redis_state.shared_settings import SharedSettings

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
