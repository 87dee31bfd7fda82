"""Two APIs for all tests of a session: one open to this machine, one that asks who calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.settings import settings_from
from tests.support.api import SCOPES, ApiProcess, api_on, entry
from tests.support.dead_letters import DeadLetterFixture
from tests.support.servers import Server, servers_found

#: A body may take so long that none is late because the machine is busy.
LIMIT, BODY_MS = 400_000, 3_000
ISSUER, AUDIENCE = "https://login.example", "galaxy-notify"


@pytest.fixture(scope="session")
def open_process(server_named: Callable[[str], Server]) -> Iterator[ApiProcess]:
    """Start an API that anybody on this machine may use."""
    settings = {"http__max_body_bytes": LIMIT, "http__body_ms": BODY_MS}
    with api_on(_emptied(server_named(next(iter(servers_found())))), **settings) as api:
        yield api


@pytest.fixture
def api(open_process: ApiProcess, server: Server) -> Iterator[httpx.Client]:
    """Give a client of the open API, on an empty server."""
    with open_process.client() as client:
        yield client


@pytest.fixture
def deployment(server: Server) -> DeadLetterFixture:
    """Give a deployment in which routes can die."""
    return DeadLetterFixture(server.client(), SharedSettings.from_settings(settings_from({})))


@pytest.fixture(scope="session")
def signing_key() -> ec.EllipticCurvePrivateKey:
    """Make the key that JWTs are signed with."""
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="session")
def guarded(
    server_named: Callable[[str], Server],
    signing_key: ec.EllipticCurvePrivateKey,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ApiProcess]:
    """Start an API that takes tokens and JWTs."""
    path = tmp_path_factory.mktemp("keys") / "public.pem"
    public = signing_key.public_key()
    path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    settings: dict[str, Any] = {
        "http__tokens": [entry(name, scopes) for name, scopes in SCOPES.items()],
        "http__jwt_algorithm": "ES256",
        "http__jwt_key": str(path),
        "http__jwt_issuer": ISSUER,
        "http__jwt_audience": AUDIENCE,
        "http__jwt_scope_prefix": "gn:",
    }
    with api_on(_emptied(server_named(next(iter(servers_found())))), **settings) as api:
        yield api


def _emptied(server: Server) -> Server:
    """Forget what the test before left: an API ends where another deployment is."""
    server.flush()
    return server
