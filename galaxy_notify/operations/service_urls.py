"""The library Apprise, which knows a hundred services by their URLs: loaded, and made silent."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from pydantic import SecretStr

if TYPE_CHECKING:
    import apprise


@cache
def asset() -> apprise.AppriseAsset:
    """Return what all uses of the library have in common; the first call loads all services.

    What it logs holds hosts, and parts of URLs; so do the warnings of its HTTP client.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that some services use
        import urllib3
        from apprise import Apprise, AppriseAsset

        logging.getLogger("apprise").disabled = True
        # With limits of its own it would start threads that the end of the process waits for.
        made = AppriseAsset(app_id="galaxy-notify", async_mode=False, service_timeout=0)
        Apprise.instantiate("json://localhost", asset=made)
    urllib3.disable_warnings()
    return made


def opened(url: SecretStr) -> apprise.Apprise | None:
    """Return what notifies the service of a URL, once or several times; None if it is invalid.

    Each thread needs its own.
    """
    shared = asset()
    from apprise import Apprise

    made = Apprise(asset=shared)
    return made if made.add(url.get_secret_value()) and len(made) == 1 else None


def refused_urls(place: str, urls: Sequence[SecretStr]) -> list[str]:
    """Return a line for each URL that is not one of a service; *place* names the setting."""
    return [
        f"{place}[{number}]: not the URL of a service that Apprise can notify"
        for number, url in enumerate(urls)
        if opened(url) is None
    ]
