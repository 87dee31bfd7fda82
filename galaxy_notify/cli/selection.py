"""What a command acts on: ids as arguments or on standard input, or else filters, or all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial, wraps
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

import click

from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.output import count, note
from galaxy_notify.cli.screen import printable
from galaxy_notify.cli.standard_streams import standard_input
from galaxy_notify.errors import InvalidQuery

T = TypeVar("T")
Action = Callable[..., int]
Option = Callable[[Any], Any]

#: Without ``--limit`` or ``--all`` a command lists no more.
MOST_LISTED: Final = 100
_PAGE: Final = 500
_MISSING_SHOWN: Final = 20


class SelectableKind(NamedTuple):
    """A kind of thing that commands select, list and move."""

    name: str
    #: What happened to it at the time that ``--since`` and ``--until`` compare.
    event: str
    #: Its own filters by parameter name; the first one is the example in messages.
    filters: Mapping[str, Option]
    example: str
    #: Raises ``UsageError`` for an argument that is no id.
    check_id: Callable[[str], object]
    #: What replay and purge did to those that were moved.
    done: Mapping[str, str]


@dataclass(frozen=True)
class Selection:
    """Ids, or else filters; ``filters`` has the values of the kind's own by parameter name."""

    kind: SelectableKind
    ids: tuple[str, ...]
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    since: str | None = None
    until: str | None = None
    limit: int | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        """Raise ``UsageError`` for what contradicts itself."""
        if self.ids and (self.narrows or self.everything or self.limit):
            raise click.UsageError("give ids or filters, not both")
        if "-" in self.ids and len(self.ids) > 1:
            raise click.UsageError(
                "- must be the only argument: it reads all ids from standard input"
            )
        for text in self.ids:
            if text != "-":
                self.kind.check_id(text)

    @property
    def is_bulk(self) -> bool:
        """Return whether it selects by filters, not by ids."""
        return not self.ids

    @property
    def narrows(self) -> bool:
        """Return whether a filter was given; a limit alone picks nothing."""
        return any(self.filters.values()) or bool(self.since or self.until)

    def named(self) -> Iterator[str]:
        """Yield the ids, those on standard input as they come."""
        return _ids_on_standard_input() if self.ids == ("-",) else iter(self.ids)

    def limit_or(self, default: int | None) -> int | None:
        """Return how many to take at most; *default* unless ``--limit`` or ``--all`` was given."""
        return self.limit or (None if self.everything else default)

    def filter_of(self, form: Callable[..., T], now_ms: Callable[[], int], limit: int | None) -> T:
        """Return the filters as a *form*, their moments by the server's clock *now_ms*.

        *limit* holds unless ``--limit`` or ``--all`` was given.
        """
        since_ms, until_ms = span_ms(
            self.since, self.until, now_ms() if self.since or self.until else 0
        )
        at_most = self.limit_or(limit)
        return form(**self.filters, since_ms=since_ms, until_ms=until_ms, limit=at_most)


@dataclass
class Listing:
    """Counts what a command lists of a selection, and the ids that name nothing."""

    selection: Selection
    shown: int = 0
    missing: list[str] = field(default_factory=list)

    def present(self, found: Iterable[tuple[str, T | None]]) -> Iterator[T]:
        """Yield what is there of the pairs of an id and what it names."""
        for name, thing in found:
            if thing is None:
                self.missing.append(name)
            else:
                self.shown += 1
                yield thing

    def pages(self, found: Iterable[tuple[str, T | None]]) -> Iterator[list[T]]:
        """Yield what is there, as many at a time as are laid out together."""
        present = self.present(found)
        while page := list(islice(present, _PAGE)):
            yield page

    def end(self, limit: int | None = None) -> int:
        """Print what is not shown and return the exit code; a bulk listing may end at a *limit*."""
        selection = self.selection
        if limit and selection.is_bulk and self.shown == selection.limit_or(limit):
            note(f"{count(self.shown)} shown, there may be more: --limit N, --all")
        for text in self.missing[:_MISSING_SHOWN]:
            note(printable(f"no {selection.kind.name}: {text}"))
        if len(self.missing) > _MISSING_SHOWN:
            note(f"and {count(len(self.missing) - _MISSING_SHOWN)} more")
        if self.shown:
            return Exit.PARTLY if self.missing else Exit.OK
        if not self.missing:
            note("nothing matched")
        return Exit.NOTHING


def selecting(kind: SelectableKind) -> Callable[[Action], Action]:
    """Add ids and filters to a command, which gets them as one ``selection``."""

    def decorate(command: Action) -> Action:
        @wraps(command)
        def run(*args: Any, ids: tuple[str, ...], **options: Any) -> int:
            filters = {name: options.pop(name) for name in kind.filters}
            bounds = {name: options.pop(name) for name in _BOUNDS}
            return command(*args, selection=Selection(kind, ids, filters, **bounds), **options)

        decorated: Action = run
        own = reversed([*kind.filters.values()])
        for option in (_ALL, _LIMIT, moment_options(kind.event), *own, _IDS):
            decorated = option(decorated)
        return decorated

    return decorate


_BOUNDS: Final = ("since", "until", "limit", "everything")
_ALL: Final = click.option("--all", "everything", is_flag=True, help="Select all, without a limit.")
_LIMIT: Final = click.option(
    "--limit", type=click.IntRange(min=1), help="Maximum number, oldest first."
)
_IDS: Final = click.argument("ids", nargs=-1, metavar="[ID...|-]")


def repeated(name: str, parameter: str, text: str, **more: Any) -> Option:
    """Return the option of a filter of which any of several values will do."""
    return click.option(name, parameter, multiple=True, help=f"{text} May be repeated.", **more)


def moment_options(event: str) -> Option:
    """Add ``--since`` and ``--until``, which bound when *event* happened."""

    moment = partial(click.option, callback=checked_moment, metavar="TIME")
    until = moment("--until", help=f"{event} at or before this time.")
    since = moment(
        "--since",
        help=f"{event} at or after this time: RFC 3339, epoch ms, or an age (15m, 2h, 3d).",
    )
    return lambda command: since(until(command))


def span_ms(since: str | None, until: str | None, now_ms: int) -> tuple[int | None, int | None]:
    """Return two moments of the command line in epoch ms, None where none is given."""
    from galaxy_notify.model.moments import moment_ms

    first, last = (moment_ms(text, now_ms) if text else None for text in (since, until))
    return first, last


@contextmanager
def refusing_unknown_values() -> Iterator[None]:
    """Name the option whose value the deployment does not know, as wrong usage."""
    try:
        yield
    except InvalidQuery as error:
        raise click.BadParameter(error.message, param_hint=f"--{error.field}") from None


def checked_moment(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no moment; how long ago one is depends on the server's clock, asked later."""
    from galaxy_notify.model.moments import moment_ms

    if value is not None:
        try:
            moment_ms(value, time.time_ns() // 1_000_000)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    return value


def _ids_on_standard_input() -> Iterator[str]:
    """Yield ids, one a line; a line may also be one that ``ls --json`` printed."""
    for line in standard_input():
        text = line.decode("utf-8", "replace").strip()
        if not text:
            continue
        if text.startswith("{"):
            with suppress(ValueError, RecursionError):
                text = str(json.loads(text).get("id", text))
        yield text
