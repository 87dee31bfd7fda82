"""Finds the globals of a Lua 5.1 chunk in its compiled form, where no path hides from a test."""

from __future__ import annotations

import struct
from io import BytesIO

from lupa import lua51

_GETGLOBAL, _SETGLOBAL = 5, 7
_HEADER_BYTES = 12
_NIL, _BOOLEAN, _NUMBER, _STRING = 0, 1, 3, 4


def globals_of(source: str) -> tuple[set[str], set[str]]:
    """Return the names of the globals that a chunk reads and of those that it writes."""
    runtime = lua51.LuaRuntime(encoding=None)
    compile_to_bytes = runtime.execute(
        b"return function(source) return string.dump(assert(loadstring(source))) end"
    )
    chunk = _Chunk(compile_to_bytes(source.encode()))
    return chunk.read, chunk.written


class _Chunk:
    """Walks through the functions of a compiled chunk."""

    def __init__(self, dumped: bytes) -> None:
        self.read: set[str] = set()
        self.written: set[str] = set()
        self._data = BytesIO(dumped)
        self._data.seek(_HEADER_BYTES)
        self._function()

    def _function(self) -> None:
        self._string()
        self._take(2 * 4 + 4)
        code = [self._int() for _ in range(self._int())]
        constants = [self._constant() for _ in range(self._int())]
        for instruction in code:
            name = constants[index] if (index := instruction >> 14) < len(constants) else b""
            if instruction & 0x3F == _GETGLOBAL:
                self.read.add(name.decode())
            elif instruction & 0x3F == _SETGLOBAL:
                self.written.add(name.decode())
        for _ in range(self._int()):
            self._function()
        self._skip_debug()

    def _constant(self) -> bytes:
        kind = self._take(1)[0]
        if kind == _STRING:
            return self._string()
        self._take({_NIL: 0, _BOOLEAN: 1, _NUMBER: 8}[kind])
        return b""

    def _skip_debug(self) -> None:
        self._take(4 * self._int())
        for _ in range(self._int()):
            self._string()
            self._take(8)
        for _ in range(self._int()):
            self._string()

    def _string(self) -> bytes:
        (size,) = struct.unpack("<Q", self._take(8))
        return self._take(size)[:-1]

    def _int(self) -> int:
        (value,) = struct.unpack("<I", self._take(4))
        return int(value)

    def _take(self, size: int) -> bytes:
        return self._data.read(size)
