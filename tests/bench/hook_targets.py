"""The targets of webhooks and e-mails."""

from __future__ import annotations

from typing import Final

from tests.bench.target import Target

HOOK_TARGETS: Final = (
    Target("webhooks, one daemon", "webhooks", "webhooks", 1500, unit="deliveries/s"),
    Target("webhooks: × bare aiohttp", "webhooks", "webhooks", 0.6, "bare aiohttp"),
    Target(
        "webhook, accept to received: p99",
        "webhooks",
        "accept to received: p99",
        50,
        "",
        False,
        "ms",
    ),
    Target("webhook, Redis for each", "webhooks", "webhooks: Redis", 250, "", False, "µs"),
    Target("e-mails: × bare aiosmtplib", "emails", "e-mails", 0.7, "bare aiosmtplib"),
)
