"""Small charts as inline SVG: text in the page's own colours, readable at phone width."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from assets.blendshapes import ARKIT_BLENDSHAPES

WIDTH = 360
"""Width of the view box; the page scales the drawing to its column."""


def expression_charts(weights: Sequence[Mapping[str, float]], *, above: float = 0.05) -> tuple[list[str], list[str]]:
    """Bars of the largest fitted weight of each blendshape over all views, in two charts of equal length; and the names never seen."""
    largest = {name: max((float(view.get(name, 0.0)) for view in weights), default=0.0) for name in ARKIT_BLENDSHAPES}
    seen = [name for name in ARKIT_BLENDSHAPES if largest[name] >= above]
    half = math.ceil(len(seen) / 2)
    charts = [_bars([(name, largest[name]) for name in part]) for part in (seen[:half], seen[half:]) if part]
    return charts, [name for name in ARKIT_BLENDSHAPES if name not in seen]


def _bars(rows: Sequence[tuple[str, float]]) -> str:
    body = []
    for index, (name, value) in enumerate(rows):
        y = 16 * index
        body.append(f'<text x="138" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
        body.append(f'<rect x="146" y="{y + 3}" width="{170 * min(value, 1.0):.1f}" height="10" rx="2" class="bar"/>')
        body.append(f'<text x="{152 + 170 * min(value, 1.0):.1f}" y="{y + 12}">{value:.2f}</text>')
    return _svg(16 * len(rows) + 4, "".join(body), "Largest fitted weight of each expression shape")


def line_chart(series: Sequence[tuple[str, Sequence[tuple[float, float]]]], *, x_label: str, y_label: str) -> str:
    """Dots joined by lines, one series a colour; points that are not finite are left out. Empty text where nothing can be drawn."""
    kept = [(name, sorted((x, y) for x, y in points if math.isfinite(x) and math.isfinite(y))) for name, points in series]
    kept = [(name, points) for name, points in kept if points]
    if not kept:
        return ""
    xs, ys = ([point[axis] for _, points in kept for point in points] for axis in (0, 1))
    (x0, x1), (y0, y1) = _padded(min(xs), max(xs)), (min(0.0, min(ys)), max(ys) * 1.08 or 1.0)
    place = lambda x, y: (44 + (x - x0) / (x1 - x0) * (WIDTH - 56), 150 - (y - y0) / (y1 - y0) * 130)  # noqa: E731
    body = [f'<line x1="44" x2="{WIDTH - 12}" y1="{y}" y2="{y}" class="grid"/>' for y in (20, 85, 150)]
    body += [f'<text x="40" y="{y + 4}" text-anchor="end">{_short(y1 - (y1 - y0) * (y - 20) / 130)}</text>' for y in (20, 85, 150)]
    body += [f'<text x="{place(x, 0)[0]:.0f}" y="166" text-anchor="middle">{_short(x)}</text>' for x in (x0, (x0 + x1) / 2, x1)]
    for index, (name, points) in enumerate(kept):
        spots = [place(*point) for point in points]
        body.append(f'<polyline class="line s{index}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in spots)}"/>')
        body += [f'<circle class="spot s{index}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>' for x, y in spots]
        body.append(
            f'<circle class="spot s{index}" cx="{54 + 110 * index}" cy="8" r="3.4"/>'
            f'<text x="{62 + 110 * index}" y="12">{escape(name)}</text>'
        )
    body.append(f'<text x="{WIDTH - 12}" y="180" text-anchor="end">{escape(x_label)}</text><text x="44" y="180">{escape(y_label)}</text>')
    return _svg(186, "".join(body), f"{y_label} over {x_label}")


def _padded(low: float, high: float) -> tuple[float, float]:
    return (low - 1, high + 1) if high == low else (low, high)


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 20 else f"{value:.3g}"


def _svg(height: int, body: str, label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{body}</svg>'
