"""Endpoints in Redis: secrets that are replaced, and what a change leaves as it was."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest

from galaxy_notify.channels.webhook_endpoint import NewEndpoint, WebhookEndpoint
from galaxy_notify.channels.webhook_endpoints import ROTATION_MS, WebhookEndpoints
from galaxy_notify.contacts.book import ContactBook
from galaxy_notify.contacts.contact import NewContact
from galaxy_notify.contacts.webhook_data import read_webhook_data
from galaxy_notify.errors import ConfigurationError, InvalidContact
from galaxy_notify.redis_client.flows import Flow, run_flow_sync
from galaxy_notify.redis_inspect import deliveries
from galaxy_notify.redis_inspect.deliveries import ended_since
from galaxy_notify.redis_state.contacts import MOST_CONTACTS
from galaxy_notify.settings import settings_from
from tests.support.contacts import EMAIL, HOOK, SECRETS, sections
from tests.support.deliveries import deliver
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.servers import Server

T = TypeVar("T")
NEW = NewEndpoint("u1", HOOK)


@pytest.fixture
def deployment(server: Server, deploy: Deploy) -> DeploymentFixture:
    """Give a deployment of two shards with a channel of webhooks."""
    made = sections()
    made["worker"]["shards"] = 2
    return deploy(server, **made)


class Endpoints:
    """The endpoints of a deployment, by a clock of the test."""

    def __init__(self, deployment: DeploymentFixture) -> None:
        self.now_ms = 1000
        self._deployment = deployment
        self._flows = WebhookEndpoints(deployment.settings, lambda: self.now_ms)

    def __getattr__(self, name: str) -> Any:
        flow = getattr(self._flows, name)
        return lambda *args, **options: self.run(flow(self._deployment.key_space, *args, **options))

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end."""
        return run_flow_sync(self._deployment.client, flow)


@pytest.fixture
def endpoints(deployment: DeploymentFixture) -> Endpoints:
    """Give the endpoints of the deployment."""
    return Endpoints(deployment)


def secrets_of(endpoint: WebhookEndpoint) -> list[tuple[str, int | None]]:
    """Return the secrets with their ends."""
    found = read_webhook_data(endpoint.contact.data).secrets
    return [(one.secret, one.until_ms) for one in found]


def test_rotate__again_and_again(endpoints: Endpoints) -> None:
    """Of the old secrets only the newest stays, to its end."""
    made = [endpoints.add(NEW)]
    for at_ms in (2000, 3000):
        endpoints.now_ms = at_ms
        made.append(endpoints.rotate("u1", made[0].id))
    _, second, third = (one.secret for one in made)
    assert secrets_of(made[-1]) == [(third, None), (second, 3000 + ROTATION_MS)]
    endpoints.now_ms = 4000 + ROTATION_MS
    last = endpoints.rotate("u1", made[0].id)
    assert secrets_of(last) == [(last.secret, None), (third, 4000 + 2 * ROTATION_MS)]
    assert secrets_of(endpoints.rotate("u1", made[0].id, at_once=True))[1:] == []


def test_enable__begins_a_new_time(endpoints: Endpoints) -> None:
    """Failures before it do not count; one that was not disabled is left as it was."""
    name = endpoints.add(NEW).id
    assert read_webhook_data(endpoints.enable("u1", name).contact.data).enabled_at_ms == 0
    endpoints.now_ms = 2000
    assert endpoints.disable("u1", name).contact.disabled_at_ms == 2000
    endpoints.now_ms = 3000
    assert endpoints.disable("u1", name).contact.disabled_at_ms == 2000
    enabled = endpoints.enable("u1", name)
    assert not enabled.contact.is_disabled
    assert read_webhook_data(enabled.contact.data).enabled_at_ms == 3000
    assert endpoints.find("u1", name) == enabled


def test_changes__leave_the_rest(endpoints: Endpoints) -> None:
    """Types and headers stay, and the other contacts of the user."""
    wanted = NEW._replace(types=("a.*", "b"), headers={"X-Team": "red"})
    name, other = endpoints.add(wanted).id, endpoints.add(NEW)
    rotated = endpoints.rotate("u1", name).document()
    assert (rotated["types"], rotated["headers"]) == (["a.*", "b"], ["X-Team"])
    assert endpoints.remove("u1", name)
    assert not endpoints.remove("u1", name)
    assert [one.id for one in endpoints.of("u1").endpoints] == [other.id]


def test_add__no_more_than_a_user_may_have(endpoints: Endpoints) -> None:
    """The first one too many is refused; another user still may."""
    for _ in range(MOST_CONTACTS):
        endpoints.add(NEW)
    with pytest.raises(InvalidContact, match="at most 20"):
        endpoints.add(NEW)
    assert endpoints.add(NEW._replace(user="u2")).user == "u2"


def test_endpoints__are_of_webhooks_only(
    endpoints: Endpoints, deployment: DeploymentFixture
) -> None:
    """A contact of another channel with the same id is not one."""
    book = ContactBook(deployment.settings)
    both = [
        NewContact("mine", EMAIL, "same"),
        NewContact("hooks", HOOK, "same", {"secrets": SECRETS}),
    ]
    endpoints.run(book.put(deployment.key_space, "u1", both))
    assert endpoints.find("u1", "same").contact.address == HOOK
    assert endpoints.remove("u1", "same")
    assert endpoints.find("u1", "same") is None
    left = endpoints.run(book.all_of(deployment.key_space, "u1"))
    assert [one.channel for one in left.contacts] == ["mine"]


def test_channel__is_named_where_there_are_several() -> None:
    """The only one needs no name, and another kind is none of them."""
    made = sections()
    assert WebhookEndpoints(settings_from(made)).channel() == "hooks"
    made["worker"]["channels"] = ["push", "mine", "hooks", "more"]
    made["channels"] = {**made["channels"], "more": {"kind": "webhook"}}
    several = WebhookEndpoints(settings_from(made))
    assert several.channel("more") == "more"
    for name in (None, "", "mine", 7):
        with pytest.raises(InvalidContact, match=r"known: (hooks, more|more, hooks)"):
            several.channel(name)
    del made["channels"]["hooks"], made["channels"]["more"]
    with pytest.raises(ConfigurationError, match="none of them is of kind webhook"):
        WebhookEndpoints(settings_from(made))


def test_ended_since__page_by_page(
    deployment: DeploymentFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All shards are read to their ends, in the order of time."""
    monkeypatch.setattr(deliveries, "_PAGE", 3)
    for begin in (0, 7):
        for keys in deployment.key_space.all_keys:
            changed = {"user_id": "u1", "channel": "hooks", "reason": f"{keys.shard}"}
            deliver(deployment.client, range(begin, begin + 7), keys=keys, changed=changed)
    deliver(deployment.client, [1])
    found = list(ended_since(deployment.connected, "u1", "hooks", 0))
    assert len(found) == 28
    assert [one.at_ms for one in found] == sorted(one.at_ms for one in found)
    assert {one.reason for one in found} == {"0", "1"}
