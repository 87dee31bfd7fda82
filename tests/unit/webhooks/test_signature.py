"""Signatures of webhooks: the specification's vectors, other libraries, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import time
from base64 import b64decode, b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from galaxy_notify.webhooks import InvalidSignature, verify
from galaxy_notify.webhooks.signature import message_id, new_secret, signed_headers

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER = "whsec_" + b64encode(b"another secret, of 32 bytes, too").decode()
BODY = '{"title":"Grüße ✓"}'.encode()
#: A test may take this long between signing and verifying.
SLACK_S = 60

#: Made by the libraries of Standard Webhooks for Python (1.1.0) and JavaScript (1.1.1), alike.
VECTORS = [
    (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLwSw",
        *("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}'),
        "v1,pZN3CVESPCUuihODVQNgWONmlcH9xCz9b1ykcK53XqY=",
    ),
    (
        SECRET,
        *("msg_1", 1700000000, '{"title":"Grüße ✓"}'),
        "v1,KTUkq8l1hwfH6Rrp37w8k06+uNImtA3C3/dhbpUT4nI=",
    ),
    (SECRET, "msg_2", 1700000000, "", "v1,EF3lemLQ+IQNH5VZJEzkf66ncjWLQ0M4davaNFf4VkU="),
]


def now() -> int:
    """Return the time as a sender writes it."""
    return int(time.time())


def signed(body: bytes = BODY, at: int | None = None, secret: str = SECRET) -> dict[str, str]:
    """Return the headers of a request that is signed now."""
    return signed_headers([secret], "msg_1", now() if at is None else at, body)


@pytest.mark.parametrize(("secret", "name", "at", "body", "signature"), VECTORS)
def test_vector__is_signed_and_verified(
    secret: str, name: str, at: int, body: str, signature: str
) -> None:
    """What other libraries sign is what we sign, and is valid."""
    headers = signed_headers([secret], name, at, body.encode())
    assert headers["webhook-signature"] == signature
    assert verify(secret, headers, body, tolerance_s=0) == name
    assert verify(secret, headers, body.encode(), tolerance_s=0) == name


def test_interop__the_library_verifies_what_we_sign() -> None:
    """Also while a secret is replaced: a receiver has the new or the old one."""
    headers = signed_headers([SECRET, OTHER], "msg_1", now(), BODY)
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(BODY, headers) == {"title": "Grüße ✓"}
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


def test_interop__we_verify_what_the_library_signs() -> None:
    """A receiver of other senders can use `verify` for them, too."""
    at = datetime.fromtimestamp(now(), UTC)
    signature = Webhook(SECRET).sign("msg_7", at, BODY.decode())
    headers = {
        "Webhook-Id": "msg_7",
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": signature,
    }
    assert verify(SECRET, headers, BODY) == "msg_7"


def test_secret__is_32_random_bytes() -> None:
    """In base64, behind `whsec_`."""
    made = {new_secret() for _ in range(10)}
    assert len(made) == 10
    for secret in made:
        assert secret.startswith("whsec_")
        assert len(b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
        assert verify(secret, signed(secret=secret), BODY) == "msg_1"


def test_secret__may_come_without_prefix_and_padding() -> None:
    """As other libraries take it."""
    bare = SECRET.removeprefix("whsec_").rstrip("=")
    assert verify(bare, signed(), BODY) == "msg_1"


def test_rotation__is_valid_for_both_secrets() -> None:
    """A receiver changes its secret whenever it likes while both sign."""
    headers = signed_headers([SECRET, OTHER], "msg_1", now(), BODY)
    assert verify(SECRET, headers, BODY) == verify(OTHER, headers, BODY) == "msg_1"
    with pytest.raises(InvalidSignature, match="no v1 signature with this secret"):
        verify(new_secret(), headers, BODY)


def test_message_id__is_derived_without_points() -> None:
    """The same in each attempt and process; others have another."""
    event_id = "0a1b2c3d.2/webhook:ann.b@example.org"
    assert message_id(event_id) == "msg_b2dd37be84cf513db5780050b209d27b"
    assert "." not in message_id(event_id)
    assert len(message_id(event_id)) == 36
    assert message_id(event_id) != message_id(event_id + "x")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("webhook-signature", "", "is missing"),
        ("webhook-signature", "v1,", "no v1 signature"),
        ("webhook-signature", "v1", "no v1 signature"),
        ("webhook-signature", " , v2, ,v1", "no v1 signature"),
        ("webhook-signature", "v1,AAAA v1a,BBBB", "no v1 signature"),
        ("webhook-signature", "v1,ünïcode", "not ASCII"),
        ("webhook-timestamp", "", "is missing"),
        ("webhook-timestamp", "soon", "not seconds"),
        ("webhook-timestamp", "1e9", "not seconds"),
        ("webhook-timestamp", "+1700000000", "not seconds"),
        ("webhook-timestamp", " 1700000000", "not seconds"),
        ("webhook-timestamp", "1_700_000_000", "not seconds"),
        ("webhook-timestamp", "9" * 5000, "not seconds"),
        ("webhook-timestamp", "\u0661\u0667", "not ASCII"),
        ("webhook-timestamp", "999999999999999", "before or after now"),
        ("webhook-timestamp", "0", "before or after now"),
        ("webhook-id", "", "is missing"),
        ("webhook-id", "msg_2", "no v1 signature"),
        ("webhook-id", "msg.1", "not the id"),
        ("webhook-id", "msg 1", "not the id"),
        ("webhook-id", "m" * 257, "not the id"),
    ],
)
def test_verify__refuses_a_header(name: str, value: str, why: str) -> None:
    """Each has its reason; none raises anything else."""
    with pytest.raises(InvalidSignature, match=why):
        verify(SECRET, {**signed(), name: value}, BODY)


def test_verify__refuses_the_digest_behind_another_version() -> None:
    """Nor does the digest alone count."""
    headers = signed()
    digest = headers["webhook-signature"].removeprefix("v1,")
    for entry in (digest, f"v0,{digest}", f"V1,{digest}", f"v1a,{digest}", f"v1, {digest}"):
        with pytest.raises(InvalidSignature):
            verify(SECRET, {**headers, "webhook-signature": entry}, BODY)


def test_verify__finds_its_signature_among_others() -> None:
    """Those of other versions and secrets are passed over, malformed ones too."""
    headers = signed()
    among = f"v1a,xx v1,AAAA nonsense {headers['webhook-signature']} v1"
    assert verify(SECRET, {**headers, "webhook-signature": among}, BODY) == "msg_1"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_verify__refuses_a_missing_or_repeated_header(name: str) -> None:
    """With two ids, a receiver might look up the one that is not signed."""
    headers = signed()
    with pytest.raises(InvalidSignature, match=f"{name}: is there twice"):
        verify(SECRET, {**headers, name.title(): "msg_2"}, BODY)
    del headers[name]
    with pytest.raises(InvalidSignature, match=f"{name}: is missing"):
        verify(SECRET, headers, BODY)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%%%", "whsec_ü", "=", "a"])
def test_verify__refuses_a_secret_that_is_none(secret: str) -> None:
    """An unset variable lets nobody in; the message never shows a secret."""
    with pytest.raises(InvalidSignature, match=r"secret: must") as failed:
        verify(secret, signed(), BODY)
    assert "%%%" not in str(failed.value)
    with pytest.raises(ValueError, match="must"):
        signed_headers([secret], "msg_1", 1, BODY)


def test_signed_headers__are_never_without_a_secret() -> None:
    """Nothing is sent unsigned."""
    with pytest.raises(ValueError, match="unsigned"):
        signed_headers([], "msg_1", 1, BODY)


def test_verify__refuses_another_body() -> None:
    """Byte for byte: the same JSON written otherwise is another body."""
    headers = signed()
    for body in (b"", BODY + b" ", BODY.replace(b":", b": "), "\ud800"):
        with pytest.raises(InvalidSignature):
            verify(SECRET, headers, body)


@pytest.mark.parametrize("tolerance_s", [SLACK_S, 300, 1000])
def test_verify__refuses_what_is_not_recent(tolerance_s: int) -> None:
    """Before and after now alike; 0 takes any time."""
    for apart in (-tolerance_s - SLACK_S, tolerance_s + SLACK_S):
        headers = signed(at=now() + apart)
        with pytest.raises(InvalidSignature, match="before or after now"):
            verify(SECRET, headers, BODY, tolerance_s)
        assert verify(SECRET, headers, BODY, tolerance_s=0) == "msg_1"
    for apart in (SLACK_S - tolerance_s, tolerance_s - SLACK_S):
        assert verify(SECRET, signed(at=now() + apart), BODY, tolerance_s + SLACK_S) == "msg_1"


def test_verify__refuses_a_negative_tolerance() -> None:
    """A programmer's error, which must not look like a stranger's."""
    with pytest.raises(ValueError, match="tolerance_s"):
        verify(SECRET, signed(), BODY, tolerance_s=-1)


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=64), st.binary(max_size=64))
def test_verify__is_valid_with_the_secret_only(body: bytes, first: bytes, second: bytes) -> None:
    """With the key and the body that were signed, and no others."""
    secret, other = ("whsec_" + b64encode(key).decode() for key in (first, second))
    headers = signed(body, secret=secret)
    assert verify(secret, headers, body) == "msg_1"
    with pytest.raises(InvalidSignature):
        verify(secret, headers, body + b"x")
    # HMAC fills a short key up with zeros: these two are the same key.
    if first.ljust(64, b"\0") != second.ljust(64, b"\0"):
        with pytest.raises(InvalidSignature):
            verify(other, headers, body)


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=40)), st.text(max_size=40))
def test_verify__answers_anything_with_its_own_error(extra: dict[str, str], junk: str) -> None:
    """Whatever a stranger sends."""
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        with pytest.raises(InvalidSignature):
            verify(OTHER, {**extra, **signed(), name: junk}, BODY)


def test_verify__needs_only_python() -> None:
    """A receiver installs none of the dependencies."""
    code = (
        "import sys, galaxy_notify.webhooks;"
        "names = {name.partition('.')[0] for name in sys.modules};"
        "print(sorted(names - set(sys.stdlib_module_names) - set(sys.argv[1:])))"
    )
    # What the environment itself loads at the start of every process.
    started = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    own = subprocess.run(
        [sys.executable, "-c", started], capture_output=True, text=True, check=True
    ).stdout.split()
    found = subprocess.run(
        [sys.executable, "-c", code, *own], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "['galaxy_notify']"
