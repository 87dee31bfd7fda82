"""The keys of tokens: which are accepted, and which verify."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.settings import settings_from
from galaxy_notify.web.signed_tokens import InvalidToken, TokenVerifier
from tests.support.gateways import AUDIENCE, claims

_KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def _verifier(folder: Path, algorithm: str, pem: bytes) -> TokenVerifier:
    path = folder / "key.pem"
    path.write_bytes(pem)
    own = {"jwt_algorithm": algorithm, "jwt_key": str(path), "audience": AUDIENCE}
    settings = settings_from({"realtime": own}).realtime
    return TokenVerifier.from_settings("realtime", settings, AUDIENCE, ("sub", "exp"))


def _public(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


@pytest.mark.parametrize("algorithm", _KEYS)
def test_key__verifies_what_its_other_half_signed(tmp_path: Path, algorithm: str) -> None:
    """And nothing that another key of the same kind signed, or a secret made of the public key."""
    pem = _public(_KEYS[algorithm])
    verifier = _verifier(tmp_path, algorithm, pem)
    signed = jwt.encode(claims(), _KEYS[algorithm], algorithm=algorithm)
    assert verifier.claims(signed)["sub"] == "u1"
    head, body, _ = signed.split(".")
    with pytest.raises(InvalidToken):
        verifier.claims(f"{head}.{body}.AAAA")
    # The known attack: the public key, which all know, as the secret of another algorithm.
    algorithm_of_secrets = jwt.get_algorithm_by_name("HS256")
    forged = jwt.encode(claims(), "x" * 64, algorithm="HS256").rpartition(".")[0]
    signature = algorithm_of_secrets.sign(forged.encode(), pem)
    with pytest.raises(InvalidToken):
        verifier.claims(f"{forged}.{jwt.utils.base64url_encode(signature).decode()}")


@pytest.mark.parametrize("algorithm", _KEYS)
@pytest.mark.parametrize("other", _KEYS)
def test_key__of_another_kind_is_refused_at_once(
    tmp_path: Path, algorithm: str, other: str
) -> None:
    """A key that does not fit is a mistake in the settings, not one of each token."""
    if algorithm == other:
        return
    with pytest.raises(ConfigurationError, match=r"^realtime\.jwt_key: must be a public key"):
        _verifier(tmp_path, algorithm, _public(_KEYS[other]))


@pytest.mark.parametrize("pem", [b"", b"nonsense", b"\0" * 100, b"-----BEGIN PUBLIC KEY-----\n"])
def test_key__that_is_none_is_refused(tmp_path: Path, pem: bytes) -> None:
    """The reason names the setting."""
    with pytest.raises(ConfigurationError, match=r"^realtime\.jwt_key: "):
        _verifier(tmp_path, "RS256", pem)


def test_reason__repeats_nothing_of_the_token(tmp_path: Path) -> None:
    """It goes to whoever asked, and perhaps into a log."""
    verifier = _verifier(tmp_path, "ES256", _public(_KEYS["ES256"]))
    for changed in ({"aud": "secret"}, {"exp": 1}, {"sub": None}, {"nbf": 9e9}):
        signed = jwt.encode(claims(**changed), _KEYS["ES256"], algorithm="ES256")
        with pytest.raises(InvalidToken) as refused:
            verifier.claims(signed)
        assert "secret" not in str(refused.value)
        assert signed.split(".")[1][:10] not in str(refused.value)
