"""Write the intents of `intents.jsonl`, always with the same contents.

python examples/make_intents.py > examples/intents.jsonl
python examples/make_intents.py --due-within 30    # due, one by one, in the next 30 seconds
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

NUMBER: Final = 1000
SEED: Final = 2026

Intent = dict[str, Any]

# Chat texts in many writing systems; text in any language arrives unchanged.
GREETINGS: Final = (
    "Your move, captain",
    "Καλή παρτίδα, παίζεις τώρα",
    "Твой ход, капитан",
    "دورك الآن، حظا موفقا",
    "התור שלך, בהצלחה",
    "अब आपकी बारी है",
    "轮到你了 加油",
    "あなたの番です",
    "당신 차례입니다",
    "🚀🪐 à toi de jouer",
)
EVENTS: Final = (
    "Spring Cup",
    "Κύπελλο",
    "Кубок галактики",
    "كأس المجرة",
    "银河杯",
    "銀河杯",
    "은하컵",
)
# Long past, and so due at once.
PAST: Final = ("2026-01-01T08:00:00+01:00", "2025-06-30T23:59:59.999Z", 1_750_000_000_000)
FAR_FUTURE: Final = "2126-01-01T00:00:00Z"


def turn_ready(rng: Random, number: int) -> Intent:
    """Notify one player of a game that it is their turn."""
    return {
        "type": "game.turn.ready",
        "producer": "lobby",
        "recipients": [_user(rng)],
        "title": rng.choice(GREETINGS),
        "data": {"game": f"g{rng.randrange(400)}", "turn": rng.randrange(1, 90)},
        "request_id": f"req-{number:05}",
    }


def chat_message(rng: Random, number: int) -> Intent:
    """Send a chat message to the others in the room."""
    return {
        "type": "chat.message",
        "producer": "chat",
        "recipients": _users(rng, rng.randrange(1, 9)),
        "body": " ".join(rng.sample(GREETINGS, 2)),
        "data": {"room": f"r{rng.randrange(50)}", "seq": number},
        "traceparent": f"00-{rng.getrandbits(128) | 1:032x}-{rng.getrandbits(64) | 1:016x}-00",
    }


def friend_request(rng: Random, number: int) -> Intent:
    """Send one friend request, once, even if the producer repeats it."""
    return {
        "type": "friend.request",
        "producer": "social",
        "recipients": [_user(rng)],
        "idempotency_key": f"friend-request-{number}",
        "expires_at": FAR_FUTURE,
        "data": {"from": _user(rng)},
    }


def receipt(rng: Random, number: int) -> Intent:
    """Confirm a payment, exactly once."""
    return {
        "type": "billing.receipt",
        "producer": "billing",
        "recipients": [f"+49170{rng.randrange(10**7):07}"],
        "severity": "notice",
        "idempotency_key": f"payment/{number}",
        "data": {"amount": {"cents": rng.randrange(99, 9999), "currency": "EUR"}, "vat": 0.19},
        "max_attempts": 20,
    }


def tournament(rng: Random, number: int) -> Intent:
    """Announce a tournament to many users."""
    return {
        "type": "tournament.announced",
        "producer": "events",
        "recipients": _users(rng, rng.randrange(50, 201)),
        "severity": "notice",
        "title": rng.choice(EVENTS),
        "idempotency_key": f"tournament-{number}",
        "due_at": rng.choice(PAST),
    }


def maintenance(rng: Random, number: int) -> Intent:
    """Warn the users who are playing now."""
    return {
        "type": "system.maintenance",
        "producer": "ops",
        "recipients": _users(rng, rng.randrange(10, 40)),
        "severity": "critical",
        "body": "Back in five minutes. Μέχρι σύντομα. 稍后见。",
        "data": {"minutes": 5, "regions": ["eu", "asia"], "forced": False, "ticket": None},
        "request_id": f"maintenance {number}",
    }


_KINDS: Final[dict[Callable[[Random, int], Intent], int]] = {
    turn_ready: 50,
    chat_message: 25,
    friend_request: 12,
    receipt: 9,
    tournament: 2,
    maintenance: 2,
}


_WRONG: Final[tuple[Intent, ...]] = (
    {"channels": ["psuh"]},
    {"recipients": ["user 7"]},
    {"recipients": []},
    {"recipient": "user-7"},
    {"severity": "urgent"},
    {"due_at": 1_750_000_000},
    {"due_at": "2026-01-01T08:00:00"},
    {"expires_at": "2025-01-01T00:00:00Z"},
    {"due_at": FAR_FUTURE, "expires_at": "2099-01-01T00:00:00Z"},
    {"max_attempts": 0},
    {"data": {"score": float("nan")}},
)


def mistakes() -> Iterator[str]:
    """Yield typical mistakes of producers, one in each line."""
    right = {"type": "game.turn.ready", "producer": "lobby", "recipients": ["user-7"]}
    yield '{"type": "game.turn.ready", "producer": "lobby", "recipients": ["user-7"]'
    yield "turn ready for user-7"
    for wrong in _WRONG:
        yield _line(right | wrong)


def lines(due_within_s: float | None = None) -> Iterator[str]:
    """Yield every line of the file: intents, some of them twice, mixed with mistakes."""
    rng = Random(SEED)
    now_ms = time.time_ns() // 1_000_000
    intents = [
        intent if due_within_s is None else _due(rng, intent, now_ms, due_within_s)
        for intent in _intents(rng)
    ]
    written = [_line(intent) for intent in intents]
    keyed = [intent for intent in intents if "idempotency_key" in intent]
    again = [intent | {"request_id": "asked-again"} for intent in rng.sample(keyed, 25)]
    other = [intent | {"title": "not what was said before"} for intent in rng.sample(keyed, 5)]
    written += [_line(intent) for intent in again + other]
    for mistake in mistakes():
        written.insert(rng.randrange(len(written)), mistake)
    yield from written


def _intents(rng: Random) -> Iterator[Intent]:
    for number, kind in zip(
        range(NUMBER), rng.choices([*_KINDS], [*_KINDS.values()], k=NUMBER), strict=True
    ):
        yield kind(rng, number)


def _due(rng: Random, intent: Intent, now_ms: int, within_s: float) -> Intent:
    """Return the intent with a due time soon, and with a key of this run only."""
    soon = intent | {"due_at": now_ms + int(rng.random() * within_s * 1000)}
    if key := intent.get("idempotency_key"):
        soon["idempotency_key"] = f"{key}@{now_ms}"
    return soon


def _user(rng: Random) -> str:
    return f"user-{rng.randrange(5000)}"


def _users(rng: Random, number: int) -> list[str]:
    return [f"user-{user}" for user in rng.sample(range(5000), number)]


def _line(intent: Intent) -> str:
    return json.dumps(intent, ensure_ascii=False, separators=(",", ":"))


def main() -> None:
    """Write the lines to standard output."""
    parser = argparse.ArgumentParser(description="Write example intents, one JSON object per line.")
    parser.add_argument("--due-within", type=float, metavar="SECONDS", help="due soon, not at once")
    arguments = parser.parse_args()
    for line in lines(arguments.due_within):
        sys.stdout.buffer.write(line.encode() + b"\n")


if __name__ == "__main__":
    main()
