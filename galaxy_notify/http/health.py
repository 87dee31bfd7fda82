"""What watches the deployment and this process: status, probes, metrics."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from fastapi import APIRouter, Request, Response

from galaxy_notify.http.dependencies import Reader, state_of
from galaxy_notify.http.openapi import Responses, responses
from galaxy_notify.http.pools import BlockingPool
from galaxy_notify.http.responses import answer, answer_of
from galaxy_notify.http.schemas import Alive, Ready
from galaxy_notify.operations.documents import Status
from galaxy_notify.operations.health import write_round_trip
from galaxy_notify.operations.status import read_status
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.telemetry.prometheus import MEDIA_TYPE
from galaxy_notify.web.problems import KINDS, Problem, packed

router = APIRouter(tags=["observing"])

#: Any caller may ask for readiness: at most one write to Redis in this time, in seconds.
_KEPT_S: Final = 0.5


class Readiness:
    """Whether a write reaches the primary: concurrent questions share one."""

    def __init__(self, pool: BlockingPool) -> None:
        self._pool = pool
        self._probe: asyncio.Task[float] | None = None
        self._probed_at = 0.0

    async def write_ms(self) -> float:
        """Return how long a write took just now; raise a `Problem` where it failed."""
        if self._probe is None or (self._probe.done() and monotonic() - self._probed_at > _KEPT_S):
            self._probe = asyncio.create_task(self._pool.run(write_round_trip))
            self._probed_at = monotonic()
        return round(await asyncio.shield(self._probe) * 1000, 3)


@router.get("/v1/status", responses=responses(ok={200: Status}))
async def status(request: Request, _: Reader) -> Response:
    """Tell what waits, what is late, who works and who reads."""

    state = state_of(request)
    has_feed = bool(state.settings.feed.url)

    def read(deployment: Deployment) -> bytes:
        return packed(read_status(deployment, has_feed=has_feed).as_json())

    return answer_of(await state.pools.reads.run(read))


@router.get("/healthz", responses=responses(ok={200: Alive}, guarded=False))
async def healthz() -> Response:
    """Tell that this process answers; whether Redis does, `/readyz` tells."""
    return answer({"status": "ok"})


@router.get("/readyz", responses=responses(ok={200: Ready}, guarded=False))
async def readyz(request: Request) -> Response:
    """Return whether a write reaches the primary and comes back."""
    readiness: Readiness = request.app.state.readiness
    try:
        return answer({"status": "ok", "write_ms": await readiness.write_ms()})
    except Problem as problem:
        # The caller is not known: the answer does not say where Redis is.
        raise Problem(problem.kind, _public(problem), (), problem.headers) from problem


def _public(problem: Problem) -> str:
    cause = problem.__cause__
    if isinstance(cause, RedisFault):
        return f"redis refuses writes: {cause.fault.code}"
    return KINDS[problem.kind].title


_METRICS: Final[Responses] = {
    200: {
        "description": "Every metric, in the text format",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}


@router.get("/metrics", responses=responses(ok={}) | _METRICS)
async def metrics(request: Request, _: Reader) -> Response:
    """Return every metric for Prometheus."""
    text = await state_of(request).metrics.text()
    return Response(text, media_type=MEDIA_TYPE)
