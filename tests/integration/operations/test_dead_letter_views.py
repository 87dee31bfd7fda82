"""Dead letters are found in order and by every filter, damaged ones too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from galaxy_notify.model.moments import moment_ms
from galaxy_notify.model.route import Failure, Status
from galaxy_notify.operations.dead_letter import DeadFilter
from galaxy_notify.operations.dead_letters import DeadLetterReader, DeadStats
from galaxy_notify.operations.dead_moves import Run
from tests.support.dead_letters import ACTOR, PLAIN, DeadLetterFixture, dead_letter_fixture
from tests.support.servers import Server

RUN = Run(ACTOR)
ALL = DeadFilter()


def ids(deployment: DeadLetterFixture, wanted: DeadFilter = ALL) -> list[str]:
    """Return the ids of what a filter means."""
    return [letter.id for letter in DeadLetterReader(deployment.connected).matching(wanted)]


def counted(deployment: DeadLetterFixture) -> DeadStats:
    """Count all dead letters."""
    stats = DeadStats()
    for letter in DeadLetterReader(deployment.connected).matching(ALL):
        stats.add(letter)
    return stats


def set_died(deployment: DeadLetterFixture, member: str, at_ms: int) -> None:
    """Let a dead letter have died at another time."""
    keys = deployment.key_space.keys_for(member.partition("/")[0])
    channel = member.partition("/")[2].partition(":")[0]
    deployment.client.zadd(keys.dead(channel), {member: at_ms})


def test_matching__merges_shards_and_channels_by_death(server: Server) -> None:
    """However they are spread, dead letters come in the order in which they died."""
    with dead_letter_fixture(server, shards=4, channels=("push", "email")) as deployment:
        members = deployment.bury(("push:u1", "email:u1"), number=50)
        for place, member in enumerate(members):
            set_died(deployment, member, 1_800_000_000_000 + place)
        assert ids(deployment) == members


def test_matching__skips_and_repeats_nothing_while_others_remove(server: Server) -> None:
    """Though each that was seen vanishes at once, all are seen, many in one millisecond."""
    with dead_letter_fixture(server) as deployment:
        members = deployment.bury(number=1500)
        for member in members[:1200]:
            set_died(deployment, member, 1_800_000_000_000)
        seen: list[str] = []
        for letter in DeadLetterReader(deployment.connected).matching(ALL):
            seen.append(letter.id)
            deployment.client.zrem(deployment.key_space.keys(0).dead("push"), letter.id)
        assert sorted(seen) == sorted(members)


def test_matching__by_every_filter(server: Server) -> None:
    """Each filter picks what it names, and a limit the oldest of it."""
    with dead_letter_fixture(server, channels=("push", "email")) as deployment:
        plain = deployment.bury(number=2)
        mail = deployment.bury(("email:u1",))
        typed = deployment.bury(kind=PLAIN._replace(type="chat.message"))
        made = deployment.bury(kind=PLAIN._replace(producer="shop"))
        failed = deployment.bury(kind=PLAIN._replace(failure=Failure("payload_too_large", "9 MiB")))
        for place, member in enumerate([*plain, *mail, *typed, *made, *failed]):
            set_died(deployment, member, 1_800_000_000_000 + place)
        assert ids(deployment, DeadFilter(channels=("email",))) == mail
        assert ids(deployment, DeadFilter(types=("chat.message",))) == typed
        assert ids(deployment, DeadFilter(producers=("shop",))) == made
        assert ids(deployment, DeadFilter(classes=("payload_too_large",))) == failed
        assert ids(deployment, DeadFilter(channels=("push",), limit=2)) == plain
        assert ids(
            deployment, DeadFilter(types=("game.ready",), producers=("lobby",), limit=4)
        ) == [
            *plain,
            *mail,
            *failed,
        ]
        at = 1_800_000_000_000
        assert ids(deployment, DeadFilter(since_ms=at + 1, until_ms=at + 3)) == [
            plain[1],
            *mail,
            *typed,
        ]
        assert ids(deployment, DeadFilter(classes=("record_missing",))) == []
        moved = DeadLetterReader(deployment.connected).replay(
            DeadFilter(types=("chat.message",)), RUN
        )
        assert moved.moved == moved.matched == 1
        assert deployment.scheduled() == set(typed)


def test_find__by_notification_names_all_its_dead_routes(server: Server) -> None:
    """The id of a notification stands for those of its routes that are dead."""
    with dead_letter_fixture(server, channels=("push", "email")) as deployment:
        first, second, mail = deployment.bury(("push:u1", "push:u2", "email:u1"))
        letters = DeadLetterReader(deployment.connected)
        letters.replay([first], RUN)
        notification = first.partition("/")[0]
        assert sorted(found.id for found in letters.find([notification])) == sorted([second, mail])
        outcome = letters.replay([notification, "0" * 32, "no id"], RUN)
        assert (outcome.matched, outcome.moved, outcome.gone) == (4, 2, 2)


def test_stats__counts_by_everything(server: Server) -> None:
    """The counts add up, and the oldest and newest are told."""
    with dead_letter_fixture(server, shards=2, channels=("push", "email")) as deployment:
        deployment.bury(("push:u1", "email:u1"), number=3)
        deployment.bury(kind=PLAIN._replace(type="chat.message", producer="shop"))
        stats = counted(deployment)
        assert stats.total == 7
        assert stats.channels == {"push": 4, "email": 3}
        assert stats.types == {"game.ready": 6, "chat.message": 1}
        assert stats.producers == {"lobby": 6, "shop": 1}
        assert stats.classes == {"payload_encoding_failed": 7}
        times = [*deployment.dead("push").values(), *deployment.dead("email").values()]
        assert (stats.oldest_ms, stats.newest_ms) == (min(times), max(times))


def damage(deployment: DeadLetterFixture, case: str, member: str) -> None:
    """Damage what is stored of a dead letter."""
    key, route_id = deployment.record(member)
    if case == "vanished":
        deployment.client.delete(key)
    elif case == "route gone":
        deployment.client.hdel(key, route_id)
    elif case == "record gone":
        deployment.client.hdel(key, "record")
    elif case == "record corrupt":
        deployment.client.hset(key, "record", b"1\xc1 nonsense")
    elif case == "state corrupt":
        deployment.client.hset(key, route_id, b"1d nonsense")
    elif case == "newer format":
        deployment.client.hset(key, route_id, b"9" + (deployment.state(member) or b"")[1:])


@pytest.mark.parametrize(
    ("case", "failure_class", "replayable"),
    [
        ("vanished", "record_missing", False),
        ("route gone", "record_missing", False),
        ("record gone", "record_missing", False),
        ("record corrupt", "record_corrupt", True),
        ("state corrupt", "record_corrupt", False),
        ("newer format", "record_corrupt", False),
    ],
)
def test_damaged__is_shown_exported_and_purged(
    server: Server, case: str, failure_class: str, replayable: bool
) -> None:
    """Whatever is left of a dead letter is shown for what it is, and can be got rid of."""
    with dead_letter_fixture(server) as deployment:
        healthy, hurt = deployment.bury(number=2)
        damage(deployment, case, hurt)
        letters = DeadLetterReader(deployment.connected)
        found = {letter.id: letter for letter in letters.matching(ALL)}
        assert found[healthy].failure_class == "payload_encoding_failed"
        assert found[hurt].failure_class == failure_class
        exported: Any = found[hurt].exported()
        assert exported["id"] == hurt
        dry = letters.replay([hurt], replace(RUN, dry_run=True))
        assert (dry.moved, dry.failed.total()) == ((1, 0) if replayable else (0, 1))
        if not replayable:
            assert letters.replay(ALL, RUN).moved == 1
            assert list(deployment.dead()) == [hurt]
        assert letters.purge([hurt], RUN).moved == 1
        assert hurt not in deployment.dead()
        deployment.assert_conserved()


def test_damaged__payload_is_exported_raw(server: Server) -> None:
    """A payload that cannot be read is exported as the bytes that it is."""
    with dead_letter_fixture(server) as deployment:
        deployment.bury()
        deployment.bury(kind=PLAIN._replace(content=b"\x81\xc1"))
        good, bad = (
            letter.exported() for letter in DeadLetterReader(deployment.connected).matching(ALL)
        )
        assert isinstance(good["payload"], dict)
        assert good["payload"]["data"] == {"turn": 12}
        assert bad["payload"] is None
        assert bad["raw_base64"]
        assert DeadLetterReader(deployment.connected).purge(ALL, RUN).moved == 2


def test_damaged__foreign_entries_are_shown_and_forgotten(server: Server) -> None:
    """What is in the index but names no route of ours is shown, and purging removes it."""
    with dead_letter_fixture(server) as deployment:
        deployment.bury()
        key = deployment.key_space.keys(0).dead("push")
        deployment.client.zadd(
            key, {b"\xff\x1b[2J": 1_800_000_000_000, b"a" * 32 + b"/email:u1": 1}
        )
        letters = DeadLetterReader(deployment.connected)
        assert counted(deployment).classes == {"payload_encoding_failed": 1, "record_corrupt": 2}
        assert letters.purge(ALL, RUN).moved == 3
        assert deployment.total("purged") == 1
        deployment.assert_conserved()


def test_damaged__a_route_that_is_not_dead_is_left_alone(server: Server) -> None:
    """An entry whose route lives elsewhere is neither replayed nor purged: fsck mends it."""
    with dead_letter_fixture(server) as deployment:
        (member,) = deployment.bury()
        letters = DeadLetterReader(deployment.connected)
        letters.replay([member], RUN)
        set_died(deployment, member, 1_800_000_000_000)
        assert next(letters.matching(ALL)).failure_class == "record_corrupt"
        for outcome in (letters.replay(ALL, RUN), letters.purge(ALL, RUN)):
            assert outcome.moved == 0
            assert "fsck" in next(iter(outcome.failed))
        assert deployment.route(member).status is Status.PENDING


def test_moment__reads_times_and_times_ago() -> None:
    """A moment is a date, epoch ms, or so long ago."""
    now = 1_900_000_000_000
    assert moment_ms("15m", now) == now - 900_000
    assert moment_ms("2h", now) == now - 7_200_000
    assert moment_ms("3d", now) == now - 259_200_000
    assert moment_ms("1w", now) == now - 604_800_000
    assert moment_ms("250ms", now) == now - 250
    assert moment_ms("1900000000000", 0) == now
    assert moment_ms("2030-03-17T17:46:40Z", 0) == now
    for wrong in ("", "5x", "1900000000", "2030-01-01", "-5m", "٣d"):
        with pytest.raises(ValueError, match=r"15m, 2h, 3d|seconds"):
            moment_ms(wrong, now)
