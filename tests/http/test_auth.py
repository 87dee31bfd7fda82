"""Who is let in: by refusal, for every path, whoever asks."""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.http.conftest import AUDIENCE, ISSUER
from tests.support.api import INTENT, PATH, SCOPES, TOKENS, ApiProcess, bearer, problem
from tests.support.command import NOWHERE, CommandLine
from tests.support.servers import Server
from tests.support.wait import wait_until

ID = "0" * 32
PREFS = f"/v1/users/{ID}/preferences"
HOOKS = f"/v1/users/{ID}/webhooks"
#: Every operation that is guarded, and the scopes that open it.
GUARDED = {
    ("POST", PATH): {"producer"},
    ("POST", f"{PATH}:batch"): {"producer"},
    ("GET", PATH): {"operator", "read-only"},
    ("PATCH", f"{PATH}/{ID}"): {"producer", "operator"},
    ("GET", f"{PATH}/{ID}"): {"producer", "operator", "read-only"},
    ("DELETE", f"{PATH}/{ID}"): {"producer", "operator"},
    ("POST", f"{PATH}/{ID}:retract"): {"producer", "operator"},
    ("DELETE", f"/v1/users/{ID}"): {"operator"},
    ("GET", f"/v1/users/{ID}/feed"): {"operator", "read-only"},
    ("POST", f"/v1/users/{ID}/feed"): {"producer"},
    ("GET", f"/v1/users/{ID}/contacts"): {"producer", "operator", "read-only"},
    ("PUT", f"/v1/users/{ID}/contacts"): {"producer", "operator"},
    ("GET", HOOKS): {"producer", "operator", "read-only"},
    ("POST", HOOKS): {"producer", "operator"},
    ("DELETE", f"{HOOKS}/{ID}"): {"producer", "operator"},
    ("POST", f"{HOOKS}/{ID}/rotate"): {"producer", "operator"},
    ("POST", f"{HOOKS}/{ID}/enable"): {"producer", "operator"},
    ("POST", f"{HOOKS}/{ID}/disable"): {"producer", "operator"},
    ("POST", f"{HOOKS}/{ID}/test"): {"producer", "operator"},
    ("GET", f"{HOOKS}/{ID}/attempts"): {"producer", "operator"},
    ("GET", PREFS): {"producer", "operator", "read-only"},
    ("PUT", PREFS): {"producer", "operator"},
    ("DELETE", PREFS): {"producer", "operator"},
    ("POST", f"{PREFS}/silence"): {"producer", "operator"},
    ("POST", f"{PREFS}/resume"): {"producer", "operator"},
    ("GET", "/v1/dead-letters"): {"operator", "read-only"},
    ("POST", "/v1/dead-letters:replay"): {"operator"},
    ("GET", "/v1/status"): {"operator", "read-only"},
    ("GET", "/metrics"): {"operator", "read-only"},
}
OPEN = ("/healthz", "/readyz", "/openapi.json")
EVERY = [pytest.param(*operation, id=" ".join(operation)) for operation in GUARDED]


def test_every_operation__is_in_the_table(guarded: ApiProcess, server: Server) -> None:
    """No path of the document is left out of the tests below; the open ones are as few."""
    with guarded.client() as api:
        document = api.get("/openapi.json").json()
    found = {
        (method.upper(), re.sub(r"\{\w+\}", ID, path)): operation.get("security")
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert {one for one, security in found.items() if security} == set(GUARDED)
    assert {path for (_, path), security in found.items() if not security} < set(OPEN)


@pytest.mark.parametrize(("method", "path"), EVERY)
@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Basic c2hvcDpzaG9w", "Bearer nobody", f"Bearer {TOKENS['shop']}x", "Bearer ü"],
)
def test_nobody__is_401(guarded: ApiProcess, method: str, path: str, header: str) -> None:
    """Without a token that is known nothing is done, and the answer says how to ask."""
    headers = [(b"Authorization", header.encode("latin-1"))] if header else []
    with guarded.client() as api:
        done = api.request(method, path, headers=headers)
    problem(done, 401, "unauthorized")
    assert done.headers["www-authenticate"].startswith('Bearer realm="galaxy-notify"')


@pytest.mark.parametrize("name", SCOPES)
@pytest.mark.parametrize(("method", "path"), EVERY)
def test_scope__opens_what_it_is_for(
    guarded: ApiProcess, server: Server, name: str, method: str, path: str
) -> None:
    """A client with another scope is told which one it needs; its body is not even read."""
    scopes = GUARDED[method, path]
    with guarded.client(name) as api:
        done = api.request(method, path, content=b"no json")
    if SCOPES[name] in scopes:
        assert done.status_code not in (401, 403), done.text
        return
    told = problem(done, 403, "forbidden")
    assert SCOPES[name] in told["detail"]
    needed = re.findall(r'scope="([a-z -]+)"', done.headers["www-authenticate"])[0].split()
    assert set(needed) <= scopes
    assert needed


@pytest.mark.parametrize("path", OPEN)
def test_probes__need_no_token(guarded: ApiProcess, path: str) -> None:
    """Whoever watches the process need not be known to it."""
    with guarded.client() as api:
        assert api.get(path).status_code == 200


def test_clients__are_counted_logged_and_recorded(guarded: ApiProcess, server: Server) -> None:
    """The name of the client is in the log, in the metrics and in the history of a route."""
    with guarded.client("shop") as shop, guarded.client("ann") as ann:
        later = INTENT | {"due_at": 2 * 10**12}
        made = shop.post(PATH, json=later).json()["notification_id"]
        ann.delete(f"{PATH}/{made}")
        shown = ann.get(f"{PATH}/{made}").json()
        metrics = ann.get("/metrics").text
    assert shown["routes"][0]["history"][-1]["worker"] == "http:ann"
    assert 'galaxy_notify_http_client_requests_total{client="shop",status="201"}' in metrics
    wait_until(
        lambda: {"shop", "ann"} <= {line["client"] for line in guarded.lines("request")},
        "both are in the log",
    )
    log = guarded.log.read_text()
    assert not [name for name, token in TOKENS.items() if token in log]


def _claims(**changed: Any) -> dict[str, Any]:
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "svc-1",
        "exp": int(time.time()) + 300,
        "scope": "openid gn:producer",
    }
    return {name: value for name, value in (claims | changed).items() if value is not None}


def test_jwt__opens_what_its_scopes_say(
    guarded: ApiProcess, server: Server, signing_key: ec.EllipticCurvePrivateKey
) -> None:
    """Scopes come as text or as a list, with the prefix; others count for nothing."""
    with guarded.client() as api:
        for scope, status in (
            ("openid gn:producer", 201),
            (["gn:producer", 7], 201),
            ("producer", 403),
            ("gn:read-only", 403),
            ({"gn:producer": 1}, 403),
            (None, 403),
        ):
            token = jwt.encode(_claims(scope=scope), signing_key, "ES256")
            done = api.post(PATH, json=INTENT, headers=bearer(token))
            assert done.status_code == status, scope
    wait_until(
        lambda: "jwt:svc-1" in {line["client"] for line in guarded.lines("request")},
        "it is in the log",
    )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": 10**9}, "expired"),
        ({"exp": None}, "no exp"),
        ({"sub": None}, "no sub"),
        ({"iss": "https://other.example"}, "aud or iss"),
        ({"iss": None}, "no iss"),
        ({"aud": ["other"]}, "aud or iss"),
        ({"aud": None}, "no aud"),
        ({"nbf": 4 * 10**9}, "not valid"),
        ({"exp": "soon"}, "not valid"),
        ({"sub": 7}, "not valid"),
    ],
)
def test_jwt__of_other_claims_is_401(
    guarded: ApiProcess,
    signing_key: ec.EllipticCurvePrivateKey,
    changed: dict[str, Any],
    reason: str,
) -> None:
    """Who issued it, for whom and until when is required."""
    token = jwt.encode(_claims(), signing_key, "ES256")
    head, _, _ = token.partition(".")
    body = _encoded(json.dumps(_claims(**changed)).encode())
    signed = jwt.PyJWS().encode(
        json.dumps(_claims(**changed)).encode(), signing_key, "ES256", {"typ": "JWT"}
    )
    for one in (signed, f"{head}.{body}.{token.rpartition('.')[2]}"):
        with guarded.client() as api:
            done = api.get("/v1/status", headers=bearer(one))
        told = problem(done, 401, "unauthorized")
        assert (reason if one == signed else "signature or algorithm") in told["detail"]
        assert 'error="invalid_token"' in done.headers["www-authenticate"]


def test_jwt__signed_otherwise_is_401(
    guarded: ApiProcess, signing_key: ec.EllipticCurvePrivateKey
) -> None:
    """No other key, no other algorithm, and never none."""
    public = signing_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    other = ec.generate_private_key(ec.SECP256R1())
    forged = jwt.encode(_claims(), "0" * 32, "HS256")
    # The old trick: the public key as the secret of an HMAC; the library refuses to make it.
    confused = _with_hmac(public)
    none = jwt.encode(_claims(), "", "none")
    tokens = (jwt.encode(_claims(), other, "ES256"), forged, confused, none, "a.b.c", "..", ".")
    with guarded.client() as api:
        for token in tokens:
            problem(api.get("/v1/status", headers=bearer(token)), 401, "unauthorized")


def _with_hmac(secret: bytes) -> str:
    parts = [{"alg": "HS256", "typ": "JWT"}, _claims()]
    text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
    return f"{text}.{_encoded(hmac.digest(secret, text.encode(), 'sha256'))}"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_hash_token__makes_the_entry() -> None:
    """What it prints is what the settings take; the token itself is nowhere."""
    command = CommandLine(NOWHERE)
    done = command.run(
        "config", "hash-token", "shop", "--scope", "producer", stdin=TOKENS["shop"] + "\n"
    )
    assert done.exit_code == 0
    assert re.fullmatch(r"shop:producer:[0-9a-f]{64}\n", done.stdout)
    made = CommandLine(NOWHERE, {"HTTP__TOKENS": done.stdout.strip()})
    assert made.run("config", "check").exit_code == 0
    assert done.stdout.split(":")[2].strip() not in made.run("config", "show").stdout


@pytest.mark.parametrize("stdin", ["", "short", "ü" * 40, "a b" * 20])
def test_hash_token__refuses_what_can_be_guessed(stdin: str) -> None:
    """A token that is short, or that no header can carry, is a usage error."""
    arguments = ("config", "hash-token", "shop", "--scope", "producer")
    assert CommandLine(NOWHERE).run(*arguments, stdin=stdin).exit_code == 2
    named = ("config", "hash-token", "a:b", "--scope", "producer")
    assert CommandLine(NOWHERE).run(*named, stdin="x" * 40).exit_code == 2
