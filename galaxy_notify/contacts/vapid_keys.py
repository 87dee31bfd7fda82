"""The pair of keys of a channel of kind web_push: browsers subscribe with the public one."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_SCALAR_BYTES: Final = 32


class VapidKeys(NamedTuple):
    """A pair of keys, in the form of the settings: base64url without padding."""

    public_key: str
    private_key: str

    def signing_key(self) -> EllipticCurvePrivateKey:
        """Return the private key; raise `ValueError` for one that is none, or of another pair."""
        scalar = urlsafe_b64decode(self.private_key + "=" * (-len(self.private_key) % 4))
        found = derive_private_key(int.from_bytes(scalar), SECP256R1())
        if unpadded(_point(found)) != self.public_key.rstrip("="):
            raise ValueError("does not belong to public_key")
        return found


def new_keys() -> VapidKeys:
    """Return a new pair of keys."""
    private = generate_private_key(SECP256R1())
    scalar = private.private_numbers().private_value.to_bytes(_SCALAR_BYTES)
    return VapidKeys(unpadded(_point(private)), unpadded(scalar))


def unpadded(raw: bytes) -> str:
    """Return bytes in base64url without padding."""
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _point(private: EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
