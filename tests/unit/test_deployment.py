"""What a deployment agrees on, and what follows from it."""

from __future__ import annotations

from galaxy_notify.redis_state.deployment import Deployment

DAY = 86_400_000


def test_keep_ms__is_no_shorter_than_any_cooldown_that_it_may_tell_of() -> None:
    """Of a known type its own; where the type is not known, the longest."""
    short = Deployment(settled_ms=1000, idempotency_ms=2000)
    assert [short.keep_ms(keyed=keyed) for keyed in (False, True)] == [1000, 2000]
    made = Deployment(
        settled_ms=1000,
        idempotency_ms=2000,
        cooldown_ms=DAY,
        cooldowns=(f"week={7 * DAY}", "none=0"),
    )
    found = [made.keep_ms(keyed=True, kind=kind) for kind in ("chat", "week", "none")]
    assert found == [DAY, 7 * DAY, 2000]
    assert made.keep_ms(keyed=True) == 7 * DAY
