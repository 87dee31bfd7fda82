"""Pairs of keys: made, and checked."""

from __future__ import annotations

import pytest

from galaxy_notify.contacts.vapid_keys import VapidKeys, new_keys
from tests.support.push import KEYS, decoded, point, private_key

PAIR = VapidKeys(KEYS["public_key"], KEYS["private_key"])


def test_new_keys__are_a_pair() -> None:
    """Each call returns another one, in the form of the settings."""
    one, other = new_keys(), new_keys()
    assert one != other
    assert [len(decoded(key)) for key in one] == [65, 32]
    assert point(one.signing_key()) == point(private_key(one.private_key))


def test_pair__is_that_of_the_example() -> None:
    """However it is padded."""
    padded = VapidKeys(f"{PAIR.public_key}=", f"{PAIR.private_key}=")
    assert point(padded.signing_key()) == decoded(PAIR.public_key)


def test_keys__of_different_pairs_are_refused() -> None:
    """No push service would take what they sign."""
    with pytest.raises(ValueError, match="does not belong to public_key"):
        VapidKeys(PAIR.public_key, new_keys().private_key).signing_key()


@pytest.mark.parametrize("private", ["A" * 43, "_" * 43])
def test_key__that_is_no_number_of_the_curve_is_refused(private: str) -> None:
    """Zero, and one that is too large."""
    with pytest.raises(ValueError, match=r".+"):
        VapidKeys(PAIR.public_key, private).signing_key()
