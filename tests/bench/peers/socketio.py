"""Socket.IO with its Redis streams adapter, on Node with ioredis."""

from __future__ import annotations

from typing import Final, NamedTuple

from tests.bench.peers.environments import NodeEnvironment

SOCKET_IO = NodeEnvironment("socketio", "socket.io", "@socket.io/redis-streams-adapter", "ioredis")


class Manner(NamedTuple):
    """A way to run it: its name, the function of the script, and what it consists of."""

    name: str
    function: str
    about: str


#: As documented, with the feature that our clients have: they go on after a loss.
RECOVERING: Final = Manner(
    "Socket.IO",
    "recovering",
    "default settings, connectionStateRecovery {}",
)
#: What its documentation advises for speed and memory, without that feature.
TUNED: Final = Manner(
    "Socket.IO, tuned, no recovery",
    "tuned",
    "WebSocket only, readCount 1000 instead of 100, the request of the handshake discarded",
)
