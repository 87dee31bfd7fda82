"""What Redis answered, as a person reads it."""

from __future__ import annotations

import re
from typing import Final

from galaxy_notify.redis_state.faults import Fault

_IN_SCRIPT: Final = re.compile(r"\.? script: [0-9a-f]{40}, on @user_script:\d+\.?")
# Not an answer of Redis, or one without a code: the text says it all.
_PLAIN: Final = frozenset({"connection", "timeout", "ERR"})


def refusal(fault: Fault) -> str:
    """Say what Redis answered, and where, without the place in a script."""
    text = _IN_SCRIPT.sub("", fault.text).rstrip(".") + fault.where
    return text if fault.code in _PLAIN or text.startswith(fault.code) else f"{fault.code}: {text}"
