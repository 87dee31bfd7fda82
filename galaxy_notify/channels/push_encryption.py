"""What a push service carries to a browser, encrypted so that only the browser can read it.

RFC 8291: a fresh key for each message, agreed on with the key of the browser, and a single record
of the coding ``aes128gcm`` (RFC 8188). No library: those there are send requests themselves.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

#: What every push service takes.
_MOST_BODY: Final = 4096
_SALT_BYTES: Final = 16
_POINT_BYTES: Final = 65
_TAG_BYTES: Final = 16
_KEY_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_SECRET_BYTES: Final = 32
#: Ends the content of the last record.
_LAST: Final = b"\x02"
#: Salt, length of a record, length of the key, key.
_HEAD_BYTES: Final = _SALT_BYTES + 4 + 1 + _POINT_BYTES
#: The longest content of a message.
MOST_CONTENT: Final = _MOST_BODY - _HEAD_BYTES - len(_LAST) - _TAG_BYTES


def encrypted(
    content: bytes,
    p256dh: bytes,
    auth: bytes,
    *,
    own: EllipticCurvePrivateKey | None = None,
    salt: bytes = b"",
) -> bytes:
    """Return the body of a request with this content, at most `MOST_CONTENT` bytes.

    *p256dh* is the public key of the browser, an uncompressed point of P-256, and *auth* its
    secret. *own* and *salt* are for tests: each message has new ones. Raises `ValueError` for
    content that is too long, and for what is no point of the curve.
    """
    if len(content) > MOST_CONTENT:
        raise ValueError(f"the content has more than {MOST_CONTENT} bytes")
    theirs = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), p256dh)
    own = own or generate_private_key(SECP256R1())
    salt = salt or os.urandom(_SALT_BYTES)
    point = own.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    about = b"WebPush: info\0" + p256dh + point
    secret = _derived(own.exchange(ECDH(), theirs), auth, about, _SECRET_BYTES)
    key = _derived(secret, salt, b"Content-Encoding: aes128gcm\0", _KEY_BYTES)
    nonce = _derived(secret, salt, b"Content-Encoding: nonce\0", _NONCE_BYTES)
    head = salt + _MOST_BODY.to_bytes(4) + bytes([len(point)]) + point
    return head + AESGCM(key).encrypt(nonce, content + _LAST, None)


def _derived(secret: bytes, salt: bytes, about: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, about).derive(secret)
