"""A small producer: it notifies players that it is their turn, and cancels one reminder.

python examples/producer.py [--url unix:///run/redis.sock]
"""

from __future__ import annotations

import argparse
import sys

from galaxy_notify import Intent, InvalidIntent, Notifier, Unavailable


def main() -> int:
    """Accept a few notifications and print the result of each."""
    parser = argparse.ArgumentParser(description="Accept a few notifications.")
    parser.add_argument("--url", default="redis://127.0.0.1:6379/0")
    arguments = parser.parse_args()
    with Notifier.from_url(arguments.url) as notifier:
        try:
            return notify(notifier)
        except Unavailable as error:
            # The same key gives the same id, so a later repeat is safe.
            sys.stderr.write(f"try again later: {error}\n")
            return 1


def notify(notifier: Notifier) -> int:
    """Accept one intent twice, submit an invalid one, and cancel a third."""
    ready = Intent(
        type="game.turn.ready",
        producer="lobby",
        recipients=["user-7", "user-8"],
        title="Your move",
        data={"game": "g4", "turn": 12},
        idempotency_key="g4/turn-12",
    )
    for receipt in notifier.accept_many([ready, ready]):
        sys.stdout.write(f"{receipt.status} {receipt.notification_id}\n")

    try:
        Intent(type="game.turn.ready", producer="lobby", recipients=["user 7"])
    except InvalidIntent as error:
        sys.stdout.write(f"refused {error}\n")

    reminder = {
        "type": "game.reminder",
        "producer": "lobby",
        "recipients": ["user-7"],
        "due_at": "2126-01-01T00:00:00Z",
    }
    receipt = notifier.accept(reminder)
    if receipt.notification_id is not None:
        cancelled = notifier.cancel(receipt.notification_id)
        sys.stdout.write(f"cancelled {cancelled.cancelled}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
