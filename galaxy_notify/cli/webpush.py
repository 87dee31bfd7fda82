"""``webpush``: the keys of channels that send to browsers."""

from __future__ import annotations

import click

from galaxy_notify.cli.context import interruptible, json_option
from galaxy_notify.cli.output import echo, echo_json


@click.group("webpush")
def command() -> None:
    """Make the keys of channels that send to browsers.

    These are channels of kind web_push. See docs/web-push.md.
    """


@command.command("keys")
@json_option
@interruptible
def keys(as_json: bool) -> None:
    """Print new VAPID keys, as settings of a channel; nothing is stored.

    Browsers subscribe with the public key, and are lost with the private one: keep it as a secret,
    and back it up.
    """
    from galaxy_notify.channels.kinds import installed

    with installed():
        from galaxy_notify.contacts.vapid_keys import new_keys
        from galaxy_notify.contacts.web_push_data import key_id_of

    made = new_keys()
    if as_json:
        echo_json({**made._asdict(), "key_id": key_id_of(made.public_key)})
        return
    echo(f'public_key = "{made.public_key}"')
    echo(f'private_key = "{made.private_key}"')
    echo('subject = "mailto:ops@example.com"  # an address of yours that is read')
