"""Runs a script with one of its calls to Redis refused, as a permission or a bug would."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

from galaxy_notify.redis_client.scripts import ScriptCall
from tests.scripts.support.shard import Shard, at

#: Where the script tells which command was refused; it lies outside the shard.
REFUSED = "refused"

_WRAPPER = """
local real, calls_made = redis, 0
local redis = setmetatable({}, {__index = real})
local function refuse(command, key)
  calls_made = calls_made + 1
  if %s then
    real.call('SET', 'refused', command)
    return true
  end
end
function redis.call(...)
  if refuse(...) then error('ERR injected', 0) end
  return real.call(...)
end
function redis.pcall(...)
  if refuse(...) then return {err = 'ERR injected'} end
  return real.pcall(...)
end
"""


class Injected:
    """What became of a script of which a call was refused."""

    def __init__(self, reply: Any, command: str) -> None:
        self.reply = reply
        self.command = command
        self.failed = isinstance(reply, Exception)


def refuse_nth(shard: Shard, call: ScriptCall, number: int) -> Injected:
    """Run the script with its call *number*, counted from 1, refused."""
    return refuse(shard, call, f"calls_made == {number}")


def refuse_all(shard: Shard, call: ScriptCall, command: str) -> Injected:
    """Run the script with every call of *command* refused."""
    return refuse(shard, call, f"command == '{command}'")


def refuse_on(shard: Shard, call: ScriptCall, command: str, key: str) -> Injected:
    """Run the script with every call of *command* on one key refused."""
    return refuse(shard, call, f"command == '{command}' and key == '{key}'")


def refuse(shard: Shard, call: ScriptCall, condition: str) -> Injected:
    """Run the script with every call refused for which a condition in Lua holds."""
    shard.client.delete(REFUSED)
    source = _WRAPPER % condition + call.script.source
    timed = at(call, shard.now)
    reply: Any
    try:
        reply = shard.client.eval(source, len(timed.keys), *timed.keys, *timed.args)
    except ResponseError as error:
        reply = error
    command: Any = shard.client.get(REFUSED)
    return Injected(reply, command.decode() if command else "")
