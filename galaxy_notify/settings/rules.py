"""The rules between settings."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from galaxy_notify.model.json_data import printable
from galaxy_notify.settings.http_rules import http_faults
from galaxy_notify.settings.sections import Settings
from galaxy_notify.settings.values import EMBEDDED

#: What the keys of a shard are called behind its hash tag, but for that of its own stream.
_OURS: Final = (
    "(abandoned|cooldown|dead|leases|newest|notification|preferences|schedule|seen|wake|worker):"
    "|(accepted|confirmed|janitor|meta|never|orphans|parked|paused|preferred|totals|workers)$"
)
_TAGGED: Final = re.compile(r"\{[^{}]+\}")


class Broken(NamedTuple):
    """A broken rule: the settings that break it together, the first to blame."""

    fields: tuple[str, ...]
    message: str


def untagged(settings: Settings) -> str:
    """Say what is wrong with the name of the intent stream in a cluster; empty if nothing is."""
    if not settings.redis.cluster or _TAGGED.match(settings.intake.stream):
        return ""
    return "must begin with a hash tag in a cluster, as in {gn-intents}"


def broken_rules(settings: Settings) -> Iterator[Broken]:
    """Find every rule between settings that is broken."""
    yield from _nodes(settings)
    yield from _tls(settings)
    yield from _intents(settings)
    yield from _http(settings)
    yield from _durability(settings)
    retry = settings.retry
    if retry.backoff_min_ms > retry.backoff_max_ms:
        fields = ("retry.backoff_min_ms", "retry.backoff_max_ms")
        limit = f"must not exceed retry.backoff_max_ms, but {retry.backoff_min_ms} is more than"
        yield Broken(fields, f"{limit} {retry.backoff_max_ms}")
    if settings.gateway.stream and (settings.worker.shards > 1 or settings.redis.cluster):
        cause = "redis.cluster" if settings.redis.cluster else "worker.shards"
        yield Broken(
            ("gateway.stream", cause),
            "must be empty with several shards or a cluster: each shard then has its own stream",
        )


def _durability(settings: Settings) -> Iterator[Broken]:
    redis = settings.redis
    if redis.url != EMBEDDED or redis.durability == "none":
        return
    message = (
        "must be none with redis.url embedded, which has no replicas and syncs once a second:"
        " run a server of your own"
    )
    yield Broken(("redis.durability", "redis.url"), message)


def _intents(settings: Settings) -> Iterator[Broken]:
    stream, prefix = settings.intake.stream, settings.redis.prefix
    is_default = stream == type(settings.intake).model_fields["stream"].default
    # A cluster that has no readers need not care for the default.
    if (settings.intake.enabled or not is_default) and (problem := untagged(settings)):
        yield Broken(("intake.stream", "intake.enabled", "redis.cluster"), problem)
    gateway = settings.gateway.stream
    if gateway in (stream, f"{stream}:rejects", f"{stream}:never"):
        message = "must be another key than gateway.stream"
        if gateway != stream:
            message += ", also with :rejects or :never behind it"
        yield Broken(("intake.stream", "gateway.stream"), message)
    if re.match(rf"\{{{re.escape(prefix)}:[0-9]+}}:({_OURS})", gateway):
        message = "must not be a key that the deployment uses for something else"
        yield Broken(("gateway.stream", "redis.prefix"), message)
    if re.match(rf"\{{{re.escape(prefix)}:[0-9]+}}:", stream):
        message = f"must not be a key of the deployment, which begin with {{{prefix}:N}}:"
        yield Broken(("intake.stream", "redis.prefix"), message)


def _nodes(settings: Settings) -> Iterator[Broken]:
    redis = settings.redis
    named = [name for name in ("sentinels", "cluster") if getattr(redis, name)]
    if len(named) > 1:
        message = "must be false beside redis.sentinels: a deployment has one or the other"
        yield Broken(("redis.cluster", "redis.sentinels"), message)
    if not named:
        return
    fields = ("redis.url", f"redis.{named[0]}")
    parts = urlsplit(redis.url)
    if redis.url == EMBEDDED or parts.scheme == "unix":
        yield Broken(fields, f"must be a TCP address with redis.{named[0]}")
    elif redis.cluster and parts.path.strip("/") not in ("", "0"):
        yield Broken(fields, "must name database 0: a cluster has no other")


def _tls(settings: Settings) -> Iterator[Broken]:
    redis = settings.redis
    if (redis.tls_cert is None) != (redis.tls_key is None):
        here, there = ("tls_cert", "tls_key") if redis.tls_cert else ("tls_key", "tls_cert")
        yield Broken((f"redis.{here}", f"redis.{there}"), f"needs redis.{there} beside it")
    plain = urlsplit(redis.url).scheme in ("redis", "valkey", "unix")
    for name in ("tls_ca", "tls_cert", "tls_key"):
        if plain and getattr(redis, name) is not None:
            message = "needs a redis.url that begins with rediss:// or valkeys://"
            yield Broken((f"redis.{name}", "redis.url"), message)
        yield from _unreadable(f"redis.{name}", getattr(redis, name))


def _http(settings: Settings) -> Iterator[Broken]:
    for fields, message in http_faults(settings.http):
        yield Broken(tuple(f"http.{field}" for field in fields), message)
    yield from _unreadable("http.jwt_key", settings.http.jwt_key)


def _unreadable(name: str, path: Path | None) -> Iterator[Broken]:
    # os.access alone raises for a text that no path can be.
    if path is not None and not (os.path.exists(path) and os.access(path, os.R_OK)):
        yield Broken((name,), f"cannot read {printable(str(path), 4096)}")
