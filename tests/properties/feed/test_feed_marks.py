"""Random changes of a feed beside a Redis that fails: at rest, marks are what Postgres has."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.feed.sweep import CountsSweep
from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_client import scripts
from galaxy_notify.telemetry.logs import configure_logs
from tests.properties.feed.marks_machine import MarksMachine
from tests.properties.feed.redis_side import AskedMark, redis_beside
from tests.support.feed_machine import USERS, run_machine
from tests.support.feed_store import feed_on
from tests.support.lost_commits import losing_commits
from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.support.suite import examples

Patch = pytest.MonkeyPatch


@pytest.fixture
def machine(server: Server, postgres: Postgres) -> Iterator[type[MarksMachine]]:
    """Give a machine over a feed whose COMMITs may be lost, and a Redis."""
    configure_logs("critical", "json", io.StringIO())
    with losing_commits(), feed_on(postgres) as feed, redis_beside(server, feed) as redis:

        class Machine(MarksMachine):
            pass

        Machine.feed, Machine.redis = feed, redis
        yield Machine


def test_marks__after_random_failures(machine: type[MarksMachine]) -> None:
    """Whatever fails, and in whichever order counts come, marks are right once all is well."""
    run_machine(machine, examples(12, 200), steps=40)


def _at_rest(machine: type[MarksMachine]) -> MarksMachine:
    """Return a feed of which everybody has an item, and a mark."""
    made = machine()
    made.publish(pairs=[(user, "n1") for user in USERS], fate=None)
    made.rest()
    return made


def test_marks__of_an_epoch_that_ended_while_they_were_renewed(
    machine: type[MarksMachine],
) -> None:
    """The pages before are of the one that ended: they are renewed once more."""
    made = _at_rest(machine)
    made.restored()
    made.sweep(name="w-1", is_short=True)
    made.restored()
    made.rest()


@pytest.mark.parametrize("turns", range(1, 7))
def test_marks__lost_while_all_users_are_looked_at(machine: type[MarksMachine], turns: int) -> None:
    """Those who were looked at before have lost theirs as well: the look begins again."""
    made = machine()
    made.publish(pairs=[(user, "n1") for user in USERS], fate=None)
    for _ in range(turns):
        made.sweep(name="w-1", is_short=True)
    made.flush()
    made.rest()


def test_marks__lost_within_a_turn(machine: type[MarksMachine], monkeypatch: Patch) -> None:
    """What the turn then stores does not hide that Redis has lost what was there."""
    made = _at_rest(machine)
    made.redis.let_a_day_pass()
    pause, pauses = CountsSweep._pause, 0

    async def paused(self: CountsSweep) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 1:
            made.flush()
        await pause(self)

    monkeypatch.setattr(CountsSweep, "_pause", paused)
    made.sweep(name="w-1", is_short=False)
    assert pauses > 1
    made.rest()


def _in_script(good: str, bad: str) -> Callable[[Patch, Path], None]:
    """Return what makes the script of the marks another one."""

    def plant(patch: Patch, folder: Path) -> None:
        changed = folder / "lua"
        shutil.copytree(scripts.LUA_DIR, changed)
        text = (changed / "unread_mark.lua").read_text()
        assert good in text
        (changed / "unread_mark.lua").write_text(text.replace(good, bad))
        patch.setattr(scripts, "LUA_DIR", changed)

    return plant


def _looks_once(patch: Patch, _: Path) -> None:
    """Let a gateway write what it has read first, and no more."""
    publish = AskedMark.publish

    async def published(self: AskedMark, counts: Mapping[str, Counts]) -> Any:
        return None if self._may_write.is_set() else await publish(self, counts)

    patch.setattr(AskedMark, "publish", published)


def _older_comes_late(made: MarksMachine) -> None:
    """Publish in another order than the COMMITs."""
    made.next_writer(what="is slow")
    for name in ("n2", "n3"):
        made.publish(pairs=[("u1", name)], fate=None)
    made.marks_grow()
    made.arrive_one(0)
    made.marks_grow()


def _changed_while_asked(made: MarksMachine) -> None:
    """Change a feed, and lose the mark of that, while a gateway makes the one before."""
    made.lose(user="u1", how="gone")
    made.ask(user="u1")
    made.publish(pairs=[("u1", "n2")], fate=None)
    made.lose(user="u1", how="gone")
    made.answer()


def _died_behind_commit(made: MarksMachine) -> None:
    """Change a feed once, and leave the counts to the sweep."""
    made.next_writer(what="dies")
    made.publish(pairs=[("u1", "n2")], fate=None)
    made.rest()


def _restored(made: MarksMachine) -> None:
    """Begin another epoch."""
    made.restored()
    made.rest()


def _corrupted(how: str) -> Callable[[MarksMachine], None]:
    """Return what has something else stand in the place of a mark, and changes the feed."""

    def story(made: MarksMachine) -> None:
        made.lose(user="u1", how=how)
        made.publish(pairs=[("u1", "n2")], fate=None)
        made.rest()

    return story


#: A mistake, and what happens that shows it.
DEFECTS = {
    "version": (
        _in_script("return old_version < tonumber(version)", "return true"),
        _older_comes_late,
    ),
    "equal": (
        _in_script("old_version < tonumber(version)", "old_version + 1 < tonumber(version)"),
        _died_behind_commit,
    ),
    "epoch": (_in_script("return old_epoch < tonumber(epoch) end", "return false end"), _restored),
    "foreign": (_in_script("fault(try('DEL', key))", "nil"), _corrupted("foreign")),
    "looks_once": (_looks_once, _changed_while_asked),
}


@pytest.fixture
def planted(monkeypatch: Patch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Give what plants a mistake."""

    def plant(defect: str) -> None:
        DEFECTS[defect][0](monkeypatch, tmp_path)
        scripts.script.cache_clear()

    yield plant
    scripts.script.cache_clear()


@pytest.mark.parametrize("defect", DEFECTS)
def test_marks__with_a_defect(
    machine: type[MarksMachine], planted: Callable[[str], None], defect: str
) -> None:
    """The machine sees each mistake in the steps that show it, and nothing in them without."""
    _, story = DEFECTS[defect]
    story(_at_rest(machine))
    planted(defect)
    made = _at_rest(machine)
    with pytest.raises(AssertionError):
        story(made)
