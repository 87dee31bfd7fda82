"""The tokens of the stage: what its gateways accept."""

from __future__ import annotations

from galaxy_notify.realtime.tokens import UserTokens
from galaxy_notify.settings.realtime import RealtimeSettings
from galaxy_notify.stage.people import AUDIENCE, PEOPLE, token_of

SECRET = "a secret of a test, and of nothing else"


def test_token__is_one_of_its_user() -> None:
    """For each of the two people."""
    key = {"audience": AUDIENCE, "jwt_algorithm": "HS256", "jwt_secret": SECRET}
    tokens = UserTokens(RealtimeSettings.model_validate(key))
    for person in PEOPLE:
        assert tokens.user(token_of(person.user, SECRET)).name == person.user
