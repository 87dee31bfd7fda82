"""Socket.IO with its Redis streams adapter, on Node with ioredis."""

from __future__ import annotations

from tests.bench.peers.environments import NodeEnvironment

SOCKET_IO = NodeEnvironment("socketio", "socket.io", "@socket.io/redis-streams-adapter", "ioredis")
#: The adapter reads 100 entries at a time by itself; its stream must hold a whole backlog.
SETTINGS = "websocket only, no compression, readCount 1000, request discarded, one room a user"
