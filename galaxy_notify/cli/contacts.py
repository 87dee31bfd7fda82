"""``contacts``: where external channels reach users."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from galaxy_notify.cli.contacts_lines import Importer, import_all
from galaxy_notify.cli.contacts_view import echo_contacts
from galaxy_notify.cli.context import (
    Application,
    interruptible,
    json_option,
    only_json_option,
    pass_application,
    with_json,
)
from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.jsonl import opened
from galaxy_notify.cli.output import count, echo, echo_json, note, plural
from galaxy_notify.cli.prompts import Progress
from galaxy_notify.cli.screen import strong
from galaxy_notify.cli.users import user_argument
from galaxy_notify.errors import InvalidContact

if TYPE_CHECKING:
    from galaxy_notify.redis_client.flows import Flow

T = TypeVar("T")

_LONGEST: Final = 4 << 20
_KEY_BYTES: Final = 32
_channel_option = click.option("--channel", metavar="NAME", default="", help="Of this channel.")


@click.group("contacts")
def command() -> None:
    """Show and change where external channels reach users.

    Contacts are encrypted with the first key of contacts.keys. See docs/contacts.md.
    """


@command.command("ls")
@user_argument
@_channel_option
@with_json
def ls(app: Application, user: str, channel: str, as_json: bool) -> None:
    """List a user's contacts; secrets among their data are masked."""
    from galaxy_notify.contacts.opening import documents, open_book

    book = open_book(app.settings)
    with app.open() as deployment:
        found = _run(deployment, book.all_of(deployment.key_space, user))
    shown = documents(found, app.settings)
    _show(user, [one for one in shown if channel in ("", one["channel"])], as_json=as_json)


@command.command("set")
@user_argument
@click.argument("file", default="-", metavar="[FILE|-]")
@_channel_option
@with_json
def set_(app: Application, user: str, file: str, channel: str, as_json: bool) -> None:
    """Replace a user's contacts of the channels that a JSON list names.

    The list has objects with channel, address, and optionally id and data. --channel is the channel
    of those that name none; with an empty list, all contacts of it are removed. An address that was
    there keeps its id.
    """
    from galaxy_notify.contacts.contact_input import check_channel, read_contacts
    from galaxy_notify.contacts.opening import documents, open_book

    book, external = open_book(app.settings), app.settings.channels
    if channel:
        check_channel(channel, external)
    wanted = read_contacts(_read_json(file), external, channel)
    with app.open() as deployment:
        key_space = deployment.key_space
        _run(deployment, book.replace(key_space, user, wanted, [channel] * bool(channel)))
        found = _run(deployment, book.all_of(key_space, user))
    _show(user, documents(found, app.settings), as_json=as_json)


@command.command("rm")
@user_argument
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_channel_option
@with_json
def rm(app: Application, user: str, ids: tuple[str, ...], channel: str, as_json: bool) -> int:
    """Remove contacts of a user: those with these ids, or all."""
    from galaxy_notify.contacts.opening import open_book

    open_book(app.settings)
    from galaxy_notify.contacts.book import remove_flow

    with app.open() as deployment:
        removed = _run(deployment, remove_flow(deployment.key_space, user, ids, channel))
    if as_json:
        echo_json({"user": user, "removed": removed})
    else:
        echo(f"removed {plural(removed, 'contact')} of {user}")
    return Exit.OK if removed else Exit.NOTHING


@command.command("import")
@click.argument("file", default="-", metavar="[FILE|-]")
@_channel_option
@only_json_option
@pass_application
def import_(app: Application, file: str, channel: str) -> int:
    """Store contacts of many users, one JSON object per line.

    A line has user, channel, address, and optionally id and data; it is stored beside the user's
    other contacts. A line with a list of contacts in place of these replaces those of their
    channels. Each line produces one line of output. Running it again is safe. Exit codes: 0 all
    stored, 4 some refused, 1 all refused or Redis away, 2 file unreadable.
    """
    from galaxy_notify.contacts.opening import open_book

    book = open_book(app.settings)
    with opened(file, "contacts") as stream, app.open() as deployment:
        importer = Importer(deployment, book, app.settings.channels, channel)
        return import_all(stream, file, importer)


@command.command("rekey")
@with_json
def rekey(app: Application, as_json: bool) -> int:
    """Encrypt all contacts with the first key of contacts.keys.

    Put a new key in front of the old ones in all processes, run this, then remove the old keys.
    Safe to repeat. Exit codes: 0 done, 4 some contacts cannot be decrypted with any of the keys.
    """
    from galaxy_notify.contacts.opening import open_book

    book = open_book(app.settings)
    from galaxy_notify.contacts.rekeying import rekey_all

    with app.open() as deployment, Progress("users:") as progress:
        done = rekey_all(deployment, book, progress.advance)
    if as_json:
        echo_json(done._asdict())
    else:
        echo(f"{plural(done.contacts, 'contact')}, {count(done.rekeyed)} encrypted again")
        if done.unreadable:
            note(f"{count(done.unreadable)} cannot be decrypted: their key is not in contacts.keys")
    return Exit.PARTLY if done.unreadable else Exit.OK


@command.command("key")
@json_option
@interruptible
def key(as_json: bool) -> None:
    """Print a new entry for contacts.keys."""
    name = f"k{secrets.token_hex(4)}"
    entry = f"{name}:{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}"
    if as_json:
        echo_json({"id": name, "entry": entry})
    else:
        echo(entry)


def _run(deployment: Any, flow: Flow[T]) -> T:
    from galaxy_notify.redis_client.flows import run_flow_sync

    return run_flow_sync(deployment.client, flow)


def _read_json(file: str) -> object:
    from galaxy_notify.model.json_text import parse_json

    with opened(file, "contacts") as stream:
        try:
            raw = stream.read(_LONGEST + 1)
        except OSError as error:
            raise click.FileError(file, error.strerror or str(error)) from None
    if len(raw) > _LONGEST:
        raise InvalidContact("", f"must be {_LONGEST:,} bytes at most", "too_large")
    return parse_json(raw, "the input")


def _show(user: str, contacts: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for contact in contacts:
            echo_json(contact)
        return
    echo(strong(user) + ("" if contacts else "  no contacts"))
    echo_contacts(contacts)
