"""One text of the metrics of several processes."""

from __future__ import annotations

from galaxy_notify.telemetry.prometheus import merged

_ONE = b"""# HELP a_total What a counts.
# TYPE a_total counter
a_total{status="200"} 1.0
# HELP b Without labels.
# TYPE b gauge
b 2.5
"""
_TWO = b"""# HELP b Without labels.
# TYPE b gauge
b 3.0
# HELP a_total What a counts.
# TYPE a_total counter
a_total{status="a{b} c"} 4.0
"""


def test_merged__keeps_each_metric_together() -> None:
    """A metric is described once, and each sample says whose it is."""
    assert merged("worker", {"1": _ONE, "2": _TWO, "3": b""}).decode().splitlines() == [
        "# HELP a_total What a counts.",
        "# TYPE a_total counter",
        'a_total{worker="1",status="200"} 1.0',
        'a_total{worker="2",status="a{b} c"} 4.0',
        "# HELP b Without labels.",
        "# TYPE b gauge",
        'b{worker="1"} 2.5',
        'b{worker="2"} 3.0',
    ]
