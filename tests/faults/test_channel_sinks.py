"""Row E4: endpoints that try to hold up or fill up the sender."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from collections.abc import Iterator

import pytest

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.guard import Guard
from galaxy_notify.channels.webhook_sender import MOST_BODY, WebhookSender
from tests.support.sinks import KINDS, TLS_KINDS, Sinks, running_sinks

#: Sent at once to a sink; what they take together is divided by it.
_SENDS = 16
_MOST_BYTES = 1_000_000
#: Where the deadline must not matter: only a hang would come to it.
_FAR_S = 600.0
#: Where only the deadline ends the attempt.
_NEAR_S = 0.5

#: Kind → outcome, reason and status. An endless answer must end long before its deadline.
ENDS_BY_ITSELF: dict[str, tuple[str, str, int | None]] = {
    "ok": ("delivered", "", 200),
    # Of what answers 2xx, only the status and a little of the rest is read.
    "drips_body": ("delivered", "", 200),
    "gigabyte": ("delivered", "", 200),
    "endless_chunks": ("delivered", "", 200),
    "endless_chunk_size": ("delivered", "", 200),
    "gzip_bomb": ("delivered", "", 200),
    "endless_responses": ("delivered", "", 200),
    "switching": ("transient", "http_status", 101),
    "two_mb_of_headers": ("transient", "garbled", None),
    "two_mb_header": ("transient", "garbled", None),
    "many_headers": ("transient", "garbled", None),
    "endless_reason": ("transient", "garbled", None),
    "interim": ("transient", "garbled", None),
    "interim_with_headers": ("transient", "garbled", None),
    "garbage": ("transient", "garbled", None),
    "speaks_first": ("transient", "garbled", None),
    "two_lengths": ("transient", "garbled", None),
    "no_record": ("transient", "garbled", None),
    "no_answer": ("transient", "disconnected", None),
    "resets": ("transient", "disconnected", None),
    "tls": ("delivered", "", 200),
    "tls_gigabyte": ("delivered", "", 200),
    "tls_interim": ("transient", "garbled", None),
    "tls_many_headers": ("transient", "garbled", None),
    # The request may have arrived: for a channel that sends at most once, that matters.
    "tls_no_record": ("transient", "disconnected", None),
    "tls_resets": ("transient", "disconnected", None),
    "tls_expired": ("transient", "tls", None),
    "tls_other_host": ("transient", "tls", None),
    "tls_unknown": ("transient", "tls", None),
}
ENDS_AT_ITS_DEADLINE = (
    *("silent", "deaf", "drips_head", "half_an_answer"),
    *("tls_drips_head", "tls_deaf"),
)
#: Here it depends on the moment at which the reset is noticed.
RESET_AT_ONCE = "resets_at_once"
#: What the owner of an endpoint reads about its certificate.
CERTIFICATES = {
    "tls_expired": "certificate has expired",
    "tls_other_host": "IP address mismatch",
    "tls_unknown": "unable to get local issuer certificate",
}


@pytest.fixture(scope="module")
def sinks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sinks]:
    """Let all sinks listen."""
    with running_sinks(tmp_path_factory.mktemp("sinks")) as running:
        yield running


def _attempts(
    sinks: Sinks, kind: str, seconds: float, *, scheme: str = "", body: bytes = b"{}"
) -> tuple[list[Attempt], float]:
    """Send a few at once, and return what became of them, with the memory that one took."""
    port = sinks.ports[kind]
    scheme = scheme or ("https" if kind in TLS_KINDS else "http")
    guard = Guard(["127.0.0.1/32"], [port], require_https=False)

    async def scenario() -> tuple[list[Attempt], float]:
        sender = WebhookSender(guard, tls=sinks.tls)
        endpoint = guard.endpoint(f"{scheme}://127.0.0.1:{port}/hook")
        deadline = asyncio.get_running_loop().time() + seconds
        tracemalloc.start()
        sends = (sender.send(endpoint, body, {}, deadline) for _ in range(_SENDS))
        attempts = await asyncio.gather(*sends)
        peak = tracemalloc.get_traced_memory()[1] / _SENDS
        tracemalloc.stop()
        await sender.close()
        return attempts, peak

    return asyncio.run(scenario())


def test_rowe4__each_sink_is_tried() -> None:
    """None is left out below."""
    tried = {*ENDS_BY_ITSELF, *ENDS_AT_ITS_DEADLINE, RESET_AT_ONCE}
    assert tried == {*KINDS, *TLS_KINDS}


@pytest.mark.parametrize("kind", ENDS_BY_ITSELF)
def test_rowe4__attempt_ends_by_itself(sinks: Sinks, kind: str) -> None:
    """Without its deadline, with the right outcome, and in little memory."""
    attempts, taken = _attempts(sinks, kind, _FAR_S)
    expected = ENDS_BY_ITSELF[kind]
    assert {(each.outcome, each.reason, each.status) for each in attempts} == {expected}
    assert max(len(each.response) for each in attempts) <= 4096
    assert taken < _MOST_BYTES
    if kind in CERTIFICATES:
        assert CERTIFICATES[kind] in attempts[0].detail


@pytest.mark.parametrize("kind", ENDS_AT_ITS_DEADLINE)
def test_rowe4__attempt_ends_at_its_deadline(sinks: Sinks, kind: str) -> None:
    """A slow answer, or none; a sink that does not read gets the largest body, too."""
    body = b"x" * MOST_BODY if "deaf" in kind else b"{}"
    attempts, taken = _attempts(sinks, kind, _NEAR_S, body=body)
    assert {each.outcome for each in attempts} == {"transient"}
    # A slow machine has not shaken hands by then.
    assert {each.reason for each in attempts} <= {"timeout", *(["connect"] * ("tls" in kind))}
    assert taken < _MOST_BYTES


def test_rowe4__connection_is_reset_at_once(sinks: Sinks) -> None:
    """Before or behind what was sent."""
    attempts, taken = _attempts(sinks, RESET_AT_ONCE, _FAR_S)
    assert {each.outcome for each in attempts} == {"transient"}
    assert {each.reason for each in attempts} <= {"connect", "disconnected"}
    assert taken < _MOST_BYTES


def test_rowe4__server_without_tls(sinks: Sinks) -> None:
    """Nothing is sent to it in the clear."""
    attempts, _ = _attempts(sinks, "speaks_first", _FAR_S, scheme="https")
    assert {(each.outcome, each.reason) for each in attempts} == {("transient", "tls")}


def test_rowe4__nothing_answers_the_handshake(sinks: Sinks) -> None:
    """Nothing was sent by then, so it is as if there was no connection."""
    attempts, _ = _attempts(sinks, "silent", _NEAR_S, scheme="https")
    assert {(each.outcome, each.reason) for each in attempts} == {("transient", "connect")}


def test_rowe4__no_connection_in_time() -> None:
    """A listener whose queue is full answers no SYN."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        guard = Guard(["127.0.0.1/32"], [port], require_https=False)

        async def scenario() -> list[Attempt]:
            sender = WebhookSender(guard)
            endpoint = guard.endpoint(f"http://127.0.0.1:{port}/")
            deadline = asyncio.get_running_loop().time() + _NEAR_S
            sends = (sender.send(endpoint, b"{}", {}, deadline) for _ in range(_SENDS))
            attempts = await asyncio.gather(*sends)
            await sender.close()
            return attempts

        attempts = asyncio.run(scenario())
    assert {each.outcome for each in attempts} == {"transient"}
    # What fits into the queue waits for an answer.
    assert {each.reason for each in attempts} in ({"connect"}, {"connect", "timeout"})
