"""The library Apprise, which knows a hundred services by their URLs: loaded, and made silent."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from pydantic import SecretStr

if TYPE_CHECKING:
    import apprise


@cache
def asset() -> apprise.AppriseAsset:
    """Return what all uses of the library have in common; the first call loads it.

    What it logs holds hosts, and parts of URLs; so do the warnings of its HTTP client.
    """
    import urllib3
    from apprise import AppriseAsset

    logging.getLogger("apprise").disabled = True
    urllib3.disable_warnings()
    # With limits of its own it would start threads that the end of the process waits for.
    return AppriseAsset(app_id="galaxy-notify", async_mode=False, service_timeout=0)


def opened(url: SecretStr) -> apprise.Apprise | None:
    """Return what notifies the service of a URL, once or several times; None if it is invalid.

    Each thread needs its own.
    """
    from apprise import Apprise

    made = Apprise(asset=asset())
    return made if made.add(url.get_secret_value()) and len(made) == 1 else None


def refused_urls(place: str, urls: Sequence[SecretStr]) -> list[str]:
    """Return a line for each URL that is not one of a service; *place* names the setting."""
    return [
        f"{place}[{number}]: not the URL of a service that Apprise can notify"
        for number, url in enumerate(urls)
        if opened(url) is None
    ]
