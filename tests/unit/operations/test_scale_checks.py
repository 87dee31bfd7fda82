"""What doctor says of growth, from plain values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from galaxy_notify.operations.finding import Finding
from galaxy_notify.operations.scale_checks import scale_findings
from galaxy_notify.operations.status import DeploymentStatus
from galaxy_notify.redis_inspect.memory import MemoryUse
from galaxy_notify.redis_inspect.node_report import ServerState
from galaxy_notify.redis_inspect.pace import Pace
from galaxy_notify.redis_inspect.samples import Sample
from galaxy_notify.redis_inspect.servers import ServerName
from galaxy_notify.redis_state.shared_settings import SharedSettings

GB = 10**9
HOUR_MS = 3_600_000.0
#: A thousand events a second, 800 bytes each, kept for an hour: 2.88 GB.
PACE = Pace(100_000, 100_000.0, 1_000.0, 1_000.0, 800.0, HOUR_MS)
USE = MemoryUse(
    waiting=GB // 2,
    dead=0,
    streams=0,
    kept=GB,
    used=2 * GB,
    limit=8 * GB,
    is_limit_set=True,
    samples=(),
)
LOOSE = Sample(size=900, ttl_ms=-1, open=1, routes=1, record=270)


def found(
    pace: Pace = PACE,
    use: MemoryUse | None = USE,
    *,
    published: int = 10**6,
    marks: int = 0,
    version: str = "7.0.15",
    **shared: object,
) -> dict[str, Finding]:
    """Return the findings by their check."""
    name, state = ServerName("redis", version, "master"), ServerState("taken", None, None)
    totals = {"published": published}
    status = DeploymentStatus(0, name, 1, {}, totals, {}, [], [], state, use)
    settings = replace(SharedSettings(), **shared)  # type: ignore[arg-type]  # checked by its reader
    findings = list(scale_findings(status, settings, pace, {(0, "gateway"): marks}))
    for finding in findings:
        assert finding.level == "ok" or (finding.means and finding.todo)
    return {finding.check: finding for finding in findings}


def test_retention__that_fits_is_shown_with_its_numbers() -> None:
    """What is kept now is replaced by what is kept once the rate has held."""
    finding = found()["retention"]
    assert finding.level == "ok"
    assert finding.what == (
        "at 1,000 events/s (the last 1 min 40 s), what is kept for 1 h after publishing (800 B"
        " each) grows to 2.9 GB; with the rest 3.9 GB, 48% of maxmemory (8.0 GB)"
    )


def test_retention__that_does_not_fit_says_when_and_what_would() -> None:
    """0.8 of 3 GB, less the 1 GB beside it, is 1.4 of 2.88 GB: 29 of 60 minutes."""
    finding = found(use=replace(USE, limit=3 * GB))["retention"]
    assert (finding.level, finding.risk) == ("warning", "availability")
    assert "3.9 GB, 129% of maxmemory (3.0 GB)" in finding.what
    # 1 GB is free, and 0.8 MB more are kept each second.
    assert (
        finding.means
        == "memory is full in about 20 min 50 s; then nothing is accepted or published"
    )
    assert finding.todo == (
        "raise maxmemory to 4.8 GB, or lower retention.settled_ms to keep it for 29 min 10 s"
    )


def test_retention__of_keys_names_both_settings() -> None:
    """What is kept for a day is kept for its idempotency key."""
    finding = found(replace(PACE, keep_ms=24 * HOUR_MS))["retention"]
    assert "70 GB, 9 × maxmemory (8.0 GB)" in finding.what
    assert "lower retention.settled_ms and retention.idempotency_ms to keep it for" in finding.todo


def test_retention__without_room_for_the_rest_has_one_way_out() -> None:
    """No retention is short enough where all else fills the memory."""
    finding = found(use=replace(USE, kept=0, used=3 * GB, limit=3 * GB))["retention"]
    assert finding.todo == "raise maxmemory to 7.3 GB"
    assert finding.means.startswith("little is left for a peak; when memory is full")


def test_retention__without_maxmemory_is_judged_by_the_host() -> None:
    """The kernel ends what takes all memory."""
    finding = found(use=replace(USE, limit=3 * GB, is_limit_set=False))["retention"]
    assert "129% of the host's memory, as no maxmemory is set (3.0 GB)" in finding.what
    assert finding.means.endswith("then the kernel ends Redis")


@pytest.mark.parametrize("use", [None, replace(USE, used=None), replace(USE, limit=None)])
def test_retention__without_a_known_limit_is_unknown(use: MemoryUse | None) -> None:
    """The size is shown nevertheless."""
    finding = found(use=use)["retention"]
    assert finding.level == "unknown"
    assert "grows to 2.9 GB" in finding.what


@pytest.mark.parametrize(
    ("pace", "published"),
    [(PACE, 499), (replace(PACE, events=99), 10**6), (replace(PACE, bytes_each=0.0), 499)],
)
def test_scale__of_too_little_says_nothing(pace: Pace, published: int) -> None:
    """A rate of a few events would be a guess."""
    assert found(pace, published=published, marks=3) == {}


def test_max_len__is_shown_as_time() -> None:
    """By the busiest shard: a hundred seconds are enough for a restart, ten are not."""
    assert found()["max_len"].level == "ok"
    assert found()["max_len"].what == (
        "gateway.max_len 100,000 holds 1 min 40 s of events at 1,000 events/s on the busiest shard"
    )
    fast = replace(PACE, busiest_per_second=10_123.0)
    finding = found(fast)["max_len"]
    assert (finding.level, finding.risk) == ("warning", "availability")
    assert finding.means == "a group that does not read for 19 s stops publishing"
    assert finding.todo == "raise gateway.max_len to 610,000 for a minute, while memory allows"
    assert found(fast, trim="always")["max_len"].risk == "nothing lost"
    assert "max_len" not in found(fast, trim="none")


def test_marks__are_shown_as_time() -> None:
    """Of a group that has any: by the default of its consumers, or by more, where it has more."""
    assert "marks" not in found()
    finding = found(marks=5)["marks"]
    assert (finding.level, finding.risk) == ("warning", "nothing twice")
    assert finding.what == (
        "group gateway of shard 0 remembers 100,000 handled events (marks_max): 1 min 40 s at"
        " 1,000 events/s"
    )
    assert finding.todo == "raise marks_max of its consumers to 600,000 (96 MB a shard)"
    assert found(marks=600_000)["marks"].level == "ok"


@pytest.mark.parametrize(
    ("version", "option"), [("6.2.14", "hash-max-ziplist"), ("7.0.15", "hash-max-listpack")]
)
def test_hashes__are_recommended_where_they_save(version: str, option: str) -> None:
    """The finding is no alarm; it has the option of the server at hand."""
    finding = found(use=replace(USE, samples=(LOOSE,) * 50), published=0, version=version)["hashes"]
    assert finding.level == "ok"
    assert finding.what == "a notification takes 900 B, as a compact hash about 550 B"
    assert finding.means == "39% of 1.5 GB could be saved"
    assert f"CONFIG SET {option}-value 512" in finding.todo


@pytest.mark.parametrize(
    "samples",
    [
        (LOOSE,) * 49,
        (LOOSE._replace(size=600),) * 50,
        (*(LOOSE,) * 44, *(LOOSE._replace(record=513),) * 6),
    ],
)
def test_hashes__are_not_recommended_otherwise(samples: tuple[Sample, ...]) -> None:
    """Too few were seen, they are compact already, or their records are too long."""
    assert found(use=replace(USE, samples=samples), published=0) == {}
