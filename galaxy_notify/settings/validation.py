"""Validation of settings against each other."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from galaxy_notify.model.json_data import printable
from galaxy_notify.settings.broken_rule import BrokenRule
from galaxy_notify.settings.channel_rules import broken_channel_rules
from galaxy_notify.settings.feed import FeedSettings
from galaxy_notify.settings.http import LEAST_SECRET, SHARED, HttpSettings, is_loopback
from galaxy_notify.settings.postgres_url import files_of
from galaxy_notify.settings.realtime import RealtimeSettings
from galaxy_notify.settings.sections import Settings
from galaxy_notify.settings.values import EMBEDDED

#: Names of a shard's keys behind the hash tag, without its own stream.
_KEYS: Final = (
    "(abandoned|contacts|cooldown|dead|leases|newest|notification|preferences|schedule|seen|unread"
    "|wake|worker):|(accepted|confirmed|deliveries|feed_backlog|feed_writers|janitor|meta|never"
    "|orphans|parked|paused|preferred|sweeper|swept|totals|workers)$"
)
_TAGGED: Final = re.compile(r"\{[^{}]+\}")


def untagged(settings: Settings) -> str:
    """Return what is wrong with the name of the intent stream in a cluster; empty for nothing."""
    if not settings.redis.cluster or _TAGGED.match(settings.intake.stream):
        return ""
    return "must begin with a hash tag in a cluster, such as {gn-intents}"


def broken_rules(settings: Settings) -> Iterator[BrokenRule]:
    """Find every rule between settings that is broken."""
    yield from _nodes(settings)
    yield from _tls(settings)
    yield from _intents(settings)
    yield from _http(settings.http)
    yield from _realtime(settings.realtime, settings.http)
    yield from _durability(settings)
    yield from _feed(settings.feed)
    yield from broken_channel_rules(settings)
    retry = settings.retry
    if retry.backoff_min_ms > retry.backoff_max_ms:
        fields = ("retry.backoff_min_ms", "retry.backoff_max_ms")
        limit = f"must not exceed retry.backoff_max_ms, but {retry.backoff_min_ms} is more than"
        yield BrokenRule(fields, f"{limit} {retry.backoff_max_ms}")
    if settings.gateway.stream and (settings.worker.shards > 1 or settings.redis.cluster):
        cause = "redis.cluster" if settings.redis.cluster else "worker.shards"
        yield BrokenRule(
            ("gateway.stream", cause),
            "must be empty with several shards or a cluster: each shard has its own stream",
        )


def _durability(settings: Settings) -> Iterator[BrokenRule]:
    redis = settings.redis
    if redis.url != EMBEDDED or redis.durability == "none":
        return
    message = (
        "must be none with redis.url embedded, which has no replicas and syncs once per second: "
        "use an external server"
    )
    yield BrokenRule(("redis.durability", "redis.url"), message)


def _intents(settings: Settings) -> Iterator[BrokenRule]:
    stream, prefix = settings.intake.stream, settings.redis.prefix
    is_default = stream == type(settings.intake).model_fields["stream"].default
    # A cluster that has no readers need not care for the default.
    if (settings.intake.enabled or not is_default) and (problem := untagged(settings)):
        yield BrokenRule(("intake.stream", "intake.enabled", "redis.cluster"), problem)
    gateway = settings.gateway.stream
    if gateway in (stream, f"{stream}:rejects", f"{stream}:never"):
        message = "must differ from gateway.stream"
        if gateway != stream:
            message += ", also with :rejects or :never appended"
        yield BrokenRule(("intake.stream", "gateway.stream"), message)
    if re.match(rf"\{{{re.escape(prefix)}:[0-9]+}}:({_KEYS})", gateway):
        message = "must not be a key that the deployment uses"
        yield BrokenRule(("gateway.stream", "redis.prefix"), message)
    if re.match(rf"\{{{re.escape(prefix)}:[0-9]+}}:", stream):
        message = f"must not begin like a key of the deployment, {{{prefix}:N}}:"
        yield BrokenRule(("intake.stream", "redis.prefix"), message)


def _nodes(settings: Settings) -> Iterator[BrokenRule]:
    redis = settings.redis
    named = [name for name in ("sentinels", "cluster") if getattr(redis, name)]
    if len(named) > 1:
        message = "must be false with redis.sentinels: a deployment uses a cluster or sentinels"
        yield BrokenRule(("redis.cluster", "redis.sentinels"), message)
    if not named:
        return
    fields = ("redis.url", f"redis.{named[0]}")
    parts = urlsplit(redis.url)
    if redis.url == EMBEDDED or parts.scheme == "unix":
        yield BrokenRule(fields, f"must be a TCP address with redis.{named[0]}")
    elif redis.cluster and parts.path.strip("/") not in ("", "0"):
        yield BrokenRule(fields, "must use database 0, the only one of a cluster")


def _tls(settings: Settings) -> Iterator[BrokenRule]:
    redis = settings.redis
    if (redis.tls_cert is None) != (redis.tls_key is None):
        here, there = ("tls_cert", "tls_key") if redis.tls_cert else ("tls_key", "tls_cert")
        yield BrokenRule((f"redis.{here}", f"redis.{there}"), f"needs redis.{there} too")
    plain = urlsplit(redis.url).scheme in ("redis", "valkey", "unix")
    for name in ("tls_ca", "tls_cert", "tls_key"):
        if plain and getattr(redis, name) is not None:
            message = "needs a redis.url that begins with rediss:// or valkeys://"
            yield BrokenRule((f"redis.{name}", "redis.url"), message)
        yield from _unreadable(f"redis.{name}", getattr(redis, name))


def _http(http: HttpSettings) -> Iterator[BrokenRule]:
    if not http.is_guarded and not is_loopback(http.host):
        message = "must be a loopback address such as 127.0.0.1 without http.tokens or http.jwt_key"
        yield BrokenRule(("http.host", "http.tokens", "http.jwt_key"), message)
    yield from _jwt("http", http, ("jwt_issuer", "jwt_audience"))
    yield from _unreadable("http.jwt_key", http.jwt_key)


def _realtime(realtime: RealtimeSettings, http: HttpSettings) -> Iterator[BrokenRule]:
    yield from _jwt("realtime", realtime, ("audience",))
    yield from _unreadable("realtime.jwt_key", realtime.jwt_key)
    if realtime.audience and realtime.audience == http.jwt_audience:
        fields = ("realtime.audience", "http.jwt_audience")
        yield BrokenRule(fields, "must differ from http.jwt_audience: a user is no service")
    if realtime.port and (realtime.host, realtime.port) == (http.host, http.port):
        listening = ("realtime.port", "realtime.host", "http.host", "http.port")
        yield BrokenRule(listening, "must differ from http.port on the same host")
    if not realtime.consume and not realtime.serve:
        fields = ("realtime.serve", "realtime.consume")
        yield BrokenRule(fields, "must be true where realtime.consume is false")


def _feed(feed: FeedSettings) -> Iterator[BrokenRule]:
    if feed.enabled and not feed.url:
        yield BrokenRule(("feed.url", "feed.enabled"), "must be set with feed.enabled = true")
    for path in files_of(feed.url).values():
        yield from _unreadable("feed.url", path)
    if feed.password is None:
        return
    fields = ("feed.password", "feed.url")
    if feed.url in ("", EMBEDDED):
        message = "must not be set with feed.url embedded" if feed.url else "needs feed.url too"
        yield BrokenRule(fields, message)
    elif urlsplit(feed.url).password is not None:
        yield BrokenRule(fields, "must not be set with a password in feed.url")


def _jwt(
    section: str, own: HttpSettings | RealtimeSettings, named: Sequence[str]
) -> Iterator[BrokenRule]:
    shared = own.jwt_algorithm in SHARED
    wanted, other = ("jwt_secret", "jwt_key") if shared else ("jwt_key", "jwt_secret")
    if not own.takes_jwt:
        for name in named:
            if getattr(own, name):
                fields = (f"{section}.{name}", f"{section}.{wanted}")
                yield BrokenRule(fields, f"needs {section}.{wanted} too")
        return
    if getattr(own, other) is not None:
        fields = (f"{section}.{other}", f"{section}.jwt_algorithm")
        message = f"does not match {fields[1]} {own.jwt_algorithm}: set {section}.{wanted}"
        yield BrokenRule(fields, message)
    for name in named:
        if not getattr(own, name):
            given = wanted if getattr(own, wanted) is not None else other
            message = f"must be set together with {section}.{given}"
            yield BrokenRule((f"{section}.{name}", f"{section}.{given}"), message)
    secret = own.jwt_secret
    if secret and len(secret.get_secret_value().encode()) < LEAST_SECRET:
        yield BrokenRule((f"{section}.jwt_secret",), f"must have at least {LEAST_SECRET} bytes")


def _unreadable(name: str, path: Path | None) -> Iterator[BrokenRule]:
    # os.access alone raises for a text that no path can be.
    if path is not None and not (os.path.exists(path) and os.access(path, os.R_OK)):
        yield BrokenRule((name,), f"cannot read {printable(str(path), 4096)}")
