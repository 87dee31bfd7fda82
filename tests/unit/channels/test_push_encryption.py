"""The example of RFC 8291, and other libraries as oracles."""

from __future__ import annotations

import http_ece
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pywebpush import WebPusher

from galaxy_notify.channels.push_encryption import MOST_CONTENT, encrypted
from tests.support.push import EXAMPLE, KEYS, Browser, decoded, private_key

BROWSER = Browser()


def test_example__is_encrypted_to_the_byte() -> None:
    """RFC 8291, section 5, with the keys and the salt of its appendix A."""
    body = encrypted(
        b"When I grow up, I want to be a watermelon",
        EXAMPLE.p256dh,
        EXAMPLE.auth,
        own=private_key(KEYS["private_key"]),
        salt=decoded("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert body == decoded(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
        "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


@given(st.binary(max_size=MOST_CONTENT))
def test_content__is_read_by_another_library(content: bytes) -> None:
    """Whatever it is, to the longest that is allowed."""
    assert BROWSER.decrypted(encrypted(content, BROWSER.p256dh, BROWSER.auth)) == content


@given(st.binary(min_size=1, max_size=MOST_CONTENT))
def test_content__is_encrypted_as_another_library_does(content: bytes) -> None:
    """With the same key and salt, to the byte."""
    own, salt = private_key(KEYS["private_key"]), b"s" * 16
    theirs = http_ece.encrypt(
        content, salt=salt, private_key=own, dh=BROWSER.p256dh, auth_secret=BROWSER.auth
    )
    assert encrypted(content, BROWSER.p256dh, BROWSER.auth, own=own, salt=salt) == theirs


def test_message__has_the_form_of_pywebpush() -> None:
    """Which reads subscriptions as browsers write them."""
    theirs = WebPusher({"endpoint": "https://push.example.com", "keys": BROWSER.keys})
    body = theirs.encode(b"content", content_encoding="aes128gcm")["body"]
    ours = encrypted(b"content", BROWSER.p256dh, BROWSER.auth)
    assert len(body) == len(ours)
    assert body[16:21] == ours[16:21]
    assert BROWSER.decrypted(body) == BROWSER.decrypted(ours) == b"content"


def test_messages__have_keys_of_their_own() -> None:
    """And salts: the same content looks different each time."""
    one, other = (encrypted(b"content", BROWSER.p256dh, BROWSER.auth) for _ in range(2))
    assert one[:16] != other[:16]
    assert one[21:86] != other[21:86]


def test_longest_content__fills_a_body() -> None:
    """Push services must take 4096 bytes, and need not take more."""
    assert MOST_CONTENT == 3993
    body = encrypted(b"x" * MOST_CONTENT, BROWSER.p256dh, BROWSER.auth)
    assert len(body) == 4096
    with pytest.raises(ValueError, match="more than 3993 bytes"):
        encrypted(b"x" * (MOST_CONTENT + 1), BROWSER.p256dh, BROWSER.auth)


@pytest.mark.parametrize("key", [b"", b"\4" * 65, EXAMPLE.p256dh[:-1]])
def test_key__must_be_a_point(key: bytes) -> None:
    """One beside the curve would give our own key away."""
    with pytest.raises(ValueError, match=r".+"):
        encrypted(b"content", key, BROWSER.auth)
