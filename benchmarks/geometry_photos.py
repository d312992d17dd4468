"""Error against the number of photos: fits of 1, 2, 3, 5, 8 and 13 of a loose capture's neutral photos, spread evenly in yaw."""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.geometry_captures import Case, frame_truths
from benchmarks.geometry_rows import fitted, measure
from benchmarks.geometry_scores import score_mesh
from recon import load_capture
from recon.capture import Capture

COUNTS = (1, 2, 3, 5, 8, 13)
PLOT = Path(__file__).parents[1] / "docs" / "photos.png"
MAX_YAW_DEG, MAX_STEP_DEG = 80.0, 40.0
"""How far out photos are chosen, and how far apart neighbours are wanted at most: beyond 50 degrees they have too little skin in common."""


@dataclasses.dataclass(frozen=True)
class PhotoRow:
    """One fit of a few photos."""

    capture: str
    head: str
    kind: str
    """"full", "landmarks", or "average": the average head, which no photo changes."""
    photos: int
    median_mm: float
    p95_mm: float
    head_median_mm: float


def seen_yaw_deg(T_cam_head: np.ndarray) -> float:
    """Yaw of the head as a camera sees it; positive: turned to the subject's own left."""
    position = -T_cam_head[:3, :3].T @ T_cam_head[:3, 3]
    return -math.degrees(math.atan2(position[0], position[2]))


def even_photos(yaws_deg: Sequence[float], count: int) -> list[int]:
    """Indices, ascending in yaw, of `count` photos nearest to evenly spread yaws: the front for one, then out to both profiles.

    Few photos stay near enough to each other to have skin in common, as a photographer with few shots would take them.
    """
    span = min(MAX_YAW_DEG * (1 - 1 / count), 0.5 * MAX_STEP_DEG * (count - 1))
    free, chosen = set(range(len(yaws_deg))), []
    for wanted in sorted(np.linspace(-span, span, count) if count > 1 else [0.0], key=abs):
        best = min(sorted(free), key=lambda index: abs(yaws_deg[index] - wanted))
        free.remove(best)
        chosen.append(best)
    return sorted(chosen, key=lambda index: yaws_deg[index])


def counts_of(case: Case) -> list[int]:
    """The numbers of photos to fit: those of COUNTS that the capture has, and all of its neutral ones."""
    available = sum(truth.expression == "neutral" for name, truth in frame_truths(case).items() if "#" not in name)
    return sorted({min(count, available) for count in COUNTS})


def subset(capture: Capture, case: Case, count: int) -> Capture:
    """The capture with `count` of its neutral photos."""
    truths = frame_truths(case)
    neutral = [view for view in capture.views if (truth := truths.get(view.name)) is not None and truth.expression == "neutral"]
    chosen = even_photos([seen_yaw_deg(truths[view.name].T_cam_head) for view in neutral], count)
    return dataclasses.replace(capture, views=tuple(neutral[index] for index in chosen))


def measure_count(case: Case, head: str, kind: str, count: int, preset: str) -> PhotoRow:
    """Fit some of a capture's photos in one way and score the neutral."""
    if kind == "average":
        average = measure(case, head, kind)
        return PhotoRow(case.key, head, kind, count, average.median_mm, average.p95_mm, average.head_median_mm)
    avatar = fitted(subset(load_capture(case.source), case, count), head, kind, preset)
    scores = score_mesh(case.folder, avatar.neutral, avatar.head.triangles)
    return PhotoRow(case.key, head, kind, count, scores["face"].median_mm, scores["face"].p95_mm, scores["head"].median_mm)


def measure_photos(cases: Sequence[Case], heads: Sequence[str], preset: str = "full", *, plot: Path = PLOT) -> dict[str, float | int]:
    """Print the table, write the plot, and return figures by the names of `keys_of`.

    The average head stands as a fit of no photos.
    """
    rows: list[PhotoRow] = []
    print(f"{'capture':16s} {'head':6s} {'kind':9s} {'photos':>6s} {'face mm':>8s} {'p95':>6s} {'whole head':>10s}")
    for case in cases:
        for head in heads:
            wanted = [("average", 0), *((kind, count) for count in counts_of(case) for kind in ("landmarks", "full"))]
            for kind, count in wanted:
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                    row = pool.submit(measure_count, case, head, kind, count, preset).result()
                rows.append(row)
                print(
                    f"{row.capture:16s} {head:6s} {kind:9s} {count:6d} {row.median_mm:8.3f} {row.p95_mm:6.2f} {row.head_median_mm:10.2f}",
                    flush=True,
                )
    draw(rows, plot)
    print(f"plot: {plot}")
    return {key: value for row in rows for key, value in keys_of(row).items()}


def keys_of(row: PhotoRow) -> dict[str, float | int]:
    """CAPTURE.HEAD.photos_N.figure of a full fit, CAPTURE.HEAD.KIND.photos_N.figure of the others."""
    kind = "" if row.kind == "full" else f"{row.kind}."
    return {
        f"{row.capture}.{row.head}.{kind}photos_{row.photos}.{key}": getattr(row, key) for key in ("median_mm", "p95_mm", "head_median_mm")
    }


def draw(rows: Sequence[PhotoRow], path: Path) -> None:
    """Median and 95th percentile of the face over the number of photos, a colour a capture and head.

    Full fits are solid, landmarks alone dashed, the average head is a dotted line across.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10.4, 4.6), dpi=150)
    for axis, key, title in ((axes[0], "median_mm", "median"), (axes[1], "p95_mm", "95th percentile")):
        for number, line in enumerate(sorted({(row.capture, row.head) for row in rows})):
            _draw_lines(axis, key, f"C{number}", [row for row in rows if (row.capture, row.head) == line])
        counts = sorted({row.photos for row in rows if row.photos})
        axis.set_xscale("log")
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.set_xlabel("photos, spread to both sides of the front")
        axis.set_title(f"distance of the face, {title} (mm)", fontsize=11)
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=9, ncols=3, loc="lower center")
    figure.tight_layout(rect=(0, 0.045 + 0.045 * -(-len(labels) // 3), 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)


STYLES = {
    "full": {"linestyle": "-", "marker": "o", "linewidth": 1.8},
    "landmarks": {"linestyle": "--", "marker": "s", "linewidth": 1.2},
    "average": {"linestyle": ":", "linewidth": 1.4},
}
NAMES = {"full": "full fit", "landmarks": "landmarks only", "average": "average head"}


def _draw_lines(axis: Any, key: str, colour: str, rows: Sequence[PhotoRow]) -> None:
    """The three lines of one capture and head."""
    for kind, style in STYLES.items():
        own = sorted((row for row in rows if row.kind == kind), key=lambda row: row.photos)
        label = f"{own[0].capture}, {own[0].head}: {NAMES[kind]}" if own else ""
        if kind == "average" and own:
            axis.axhline(getattr(own[0], key), color=colour, label=label, **style)
        elif own:
            found = [getattr(row, key) for row in own]
            axis.plot([row.photos for row in own], found, color=colour, label=label, markersize=4.5, **style)
