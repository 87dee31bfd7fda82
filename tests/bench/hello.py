"""The floor of an HTTP API: FastAPI with a body that pydantic reads, and nothing behind it.

``python -m tests.bench.hello PORT PROTOCOL``, in the same environment and with the same uvicorn as
the API that is compared with it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from tests.support.api import PATH

if TYPE_CHECKING:
    from uvicorn.config import HTTPProtocolType

#: The HTTP protocols of uvicorn.
PROTOCOLS: Final = ("h11", "httptools")


class Body(BaseModel):
    """The fields that a measured request has."""

    type: str
    producer: str
    recipients: list[str]
    data: dict[str, Any]


def app() -> FastAPI:
    """Make an application that answers every body alike."""
    made = FastAPI()

    @made.post(PATH, status_code=201)
    async def hello(body: Body) -> dict[str, str]:
        return {"notification_id": body.type}

    return made


def main() -> None:
    """Serve until a signal ends it."""
    port, http = int(sys.argv[1]), cast("HTTPProtocolType", sys.argv[2])
    uvicorn.run(app(), port=port, http=http, loop="asyncio", access_log=False)


if __name__ == "__main__":
    main()
