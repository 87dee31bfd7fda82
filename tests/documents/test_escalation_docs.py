"""docs/escalation.md: its settings are accepted, and mean what it says."""

from __future__ import annotations

import re
import tomllib

import pytest

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.operations.starting import check_channels
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.settings import settings_from
from tests.support.contacts import key
from tests.support.documents import text_of


def test_settings__are_those_of_an_escalation() -> None:
    """With the keys of contacts a daemon would start; without the feed it would not."""
    found = re.search(
        r"^```toml\n(.*?)^```", text_of("docs/escalation.md"), re.DOTALL | re.MULTILINE
    )
    assert found is not None
    sections = tomllib.loads(found[1]) | {"contacts": {"keys": [key()]}}
    settings = settings_from(sections)
    check_channels(settings)
    shared = SharedSettings.from_settings(settings)
    assert (shared.external, shared.delays) == (("hooks",), ("hooks=300000",))
    assert shared.defaults == ("in_app", "hooks")
    without = settings_from({name: value for name, value in sections.items() if name != "feed"})
    with pytest.raises(ConfigurationError, match=r"channels\.hooks\.unless_read: needs feed\.url"):
        check_channels(without)
