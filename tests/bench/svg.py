"""A bar chart as SVG: a bar for each median, a line over it from the lowest to the highest run."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from tests.bench.figures import Figure

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 820, 290, 110, 26, 44
_STYLE = """\
<style>
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px }
  .label { text-anchor: end }
  .bar { fill: #4f7cc4 }
  .spread { stroke: #1f2328; stroke-width: 1.5 }
</style>"""


def bars(title: str, figures: Sequence[Figure]) -> str:
    """Draw figures of one unit."""
    most = max(figure.spread[1] for figure in figures) or 1.0
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    height = _TOP + _ROW * len(figures) + 10
    rows = [_row(figure, _TOP + _ROW * i, scale) for i, figure in enumerate(figures)]
    heading = escape(f"{title} ({figures[0].unit})")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
            f' viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{heading}">',
            _STYLE,
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<text class="title" x="12" y="26">{heading}</text>',
            *rows,
            "</svg>\n",
        ]
    )


def _row(figure: Figure, top: float, scale: float) -> str:
    low, high = (_LEFT + value * scale for value in figure.spread)
    middle, width = top + _ROW / 2, max(1.0, figure.median * scale)
    return "\n".join(
        [
            f'<text class="label" x="{_LEFT - 10}" y="{middle + 4:.0f}">'
            f"{escape(figure.name)}</text>",
            f'<rect class="bar" x="{_LEFT}" y="{top + 4:.0f}" width="{width:.1f}"'
            f' height="{_ROW - 8}"/>',
            f'<line class="spread" x1="{low:.1f}" y1="{middle:.0f}" x2="{high:.1f}"'
            f' y2="{middle:.0f}"/>',
            f'<text x="{high + 8:.1f}" y="{middle + 4:.0f}">{shown(figure.median)}</text>',
        ]
    )


def shown(value: float) -> str:
    """Write a value with as many digits as mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
