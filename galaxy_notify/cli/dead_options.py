"""How dead letters are named on the command line: by filters, by ids, by ids on standard input."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from galaxy_notify.cli.standard_streams import standard_input
from galaxy_notify.model.failure_classes import FAILURE_CLASSES

if TYPE_CHECKING:
    from galaxy_notify.operations.dead_filter import DeadFilter
    from galaxy_notify.operations.dead_letter import DeadLetter
    from galaxy_notify.operations.dead_letters import DeadLetters

Command = TypeVar("Command", bound=Callable[..., Any])

_TEXTS: Final = ("channel", "type", "producer", "failure_class")


@dataclass(frozen=True)
class Chosen:
    """What was asked for: ids, or else a filter given as options."""

    ids: tuple[str, ...]
    given: dict[str, Any]

    @property
    def is_bulk(self) -> bool:
        """Tell whether it names no single dead letter."""
        return not self.ids

    @property
    def everything(self) -> bool:
        """Tell whether ``--all`` was given."""
        return bool(self.given["everything"])

    @property
    def narrows(self) -> bool:
        """Tell whether a filter was given; a limit alone picks nothing."""
        return any(self.given[name] for name in (*_TEXTS, "since", "until"))

    def named(self) -> Iterator[str]:
        """Yield the ids, those on standard input as they come."""
        return _from_stdin() if self.ids == ("-",) else iter(self.ids)

    def filter(self, letters: DeadLetters, default_limit: int | None = None) -> DeadFilter:
        """Return the filter; what lies so long ago is told by the server's clock."""
        from galaxy_notify.operations.dead_filter import DeadFilter, moment_ms

        given = self.given
        times = [given["since"], given["until"]]
        now_ms = letters.now_ms() if any(times) else 0
        since, until = (moment_ms(text, now_ms) if text else None for text in times)
        limit = given["limit"] or (None if given["everything"] else default_limit)
        return DeadFilter(
            channels=tuple(given["channel"] or ()),
            types=tuple(given["type"] or ()),
            producers=tuple(given["producer"] or ()),
            classes=tuple(given["failure_class"] or ()),
            since_ms=since,
            until_ms=until,
            limit=limit,
        )

    def letters(
        self, letters: DeadLetters, missing: list[str], wanted: DeadFilter
    ) -> Iterable[DeadLetter]:
        """Yield what was asked for; ids of none are added to *missing*."""
        if self.is_bulk:
            yield from letters.matching(wanted)
            return
        for found in letters.find(self.named()):
            if found.letter is None:
                missing.append(found.id)
            else:
                yield found.letter


def choosing(command: Command) -> Command:
    """Add the filters and the ids to a command, which gets them as ``ids`` and the rest."""
    repeat = " May be repeated."
    options: list[Callable[[Any], Any]] = [
        click.option("--all", "everything", is_flag=True, help="Every one; without any limit."),
        click.option("--limit", type=click.IntRange(min=1), help="At most so many, oldest first."),
        click.option("--until", callback=moment_text, metavar="TIME", help="Died then or before."),
        click.option(
            "--since",
            callback=moment_text,
            metavar="TIME",
            help="Died then or later: RFC 3339, epoch ms, or so long ago (15m, 2h, 3d).",
        ),
        click.option(
            "--class",
            "failure_class",
            multiple=True,
            type=click.Choice(FAILURE_CLASSES),
            metavar="CLASS",
            help="Failure class." + repeat,
        ),
        click.option("--producer", multiple=True, help="Who sent it." + repeat),
        click.option("--type", multiple=True, help="Type of the notification." + repeat),
        click.option("--channel", multiple=True, callback=_channels, help="Channel." + repeat),
        click.argument("ids", nargs=-1, metavar="[ID...|-]"),
    ]
    for option in options:
        command = option(command)
    return command


def chosen(ids: tuple[str, ...], given: dict[str, Any]) -> Chosen:
    """Return what was asked for; refuse what contradicts itself."""
    from galaxy_notify.model.ids import parse_target

    choice = Chosen(ids, given)
    if ids and (choice.narrows or choice.everything or given["limit"]):
        raise click.UsageError("give ids or filters, not both")
    if "-" in ids and len(ids) > 1:
        raise click.UsageError("- stands alone: all ids then come from standard input")
    for text in ids:
        if text != "-" and parse_target(text) is None:
            raise click.UsageError(f"not an id of a notification, route or event: {text}")
    return choice


def _from_stdin() -> Iterator[str]:
    """Yield ids, one in a line, or what `dead ls --json` and `dead export` print."""
    for line in standard_input():
        text = line.decode("utf-8", "replace").strip()
        if text:
            yield _id_in(text) if text.startswith("{") else text


def _id_in(text: str) -> str:
    try:
        return str(json.loads(text).get("id", text))
    except (ValueError, RecursionError):
        return text


def _channels(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    from galaxy_notify.model.ids import CHANNEL

    for name in value:
        if not re.fullmatch(CHANNEL, name):
            raise click.BadParameter(f"no name of a channel: {name}")
    return tuple(dict.fromkeys(value))


def moment_text(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no moment; one so long ago is told later, by the server's clock."""
    from galaxy_notify.operations.dead_filter import moment_ms

    if value is not None:
        try:
            moment_ms(value, time.time_ns() // 1_000_000)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    return value
