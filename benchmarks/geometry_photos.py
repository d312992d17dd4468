"""Error against the number of photos: fits of 1, 2, 3, 5, 8 and 13 of a loose capture's neutral photos, spread evenly in yaw."""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.geometry_captures import Case, frame_truths
from benchmarks.geometry_rows import fitted
from benchmarks.geometry_scores import score_mesh
from recon import load_capture
from recon.capture import Capture

COUNTS = (1, 2, 3, 5, 8, 13)
PLOT = Path(__file__).parents[1] / "docs" / "photos.png"
MAX_YAW_DEG = 80.0


@dataclasses.dataclass(frozen=True)
class PhotoRow:
    """One fit of a few photos."""

    capture: str
    head: str
    photos: int
    median_mm: float
    p95_mm: float
    head_median_mm: float


def seen_yaw_deg(T_cam_head: np.ndarray) -> float:
    """Yaw of the head as a camera sees it; positive: turned to the subject's own left."""
    position = -T_cam_head[:3, :3].T @ T_cam_head[:3, 3]
    return -math.degrees(math.atan2(position[0], position[2]))


def even_photos(yaws_deg: Sequence[float], count: int) -> list[int]:
    """Indices, ascending in yaw, of `count` photos nearest to evenly spread yaws: the front for one, then out to both profiles."""
    span = MAX_YAW_DEG * (1 - 1 / count)
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


def measure_count(case: Case, head: str, count: int, preset: str) -> PhotoRow:
    """Fit some of a capture's photos and score the neutral."""
    avatar = fitted(subset(load_capture(case.source), case, count), head, "full", preset)
    scores = score_mesh(case.folder, avatar.neutral, avatar.head.triangles)
    return PhotoRow(case.key, head, count, scores["face"].median_mm, scores["face"].p95_mm, scores["head"].median_mm)


def measure_photos(cases: Sequence[Case], heads: Sequence[str], preset: str = "full", *, plot: Path = PLOT) -> dict[str, float | int]:
    """Print the table, write the plot, and return figures by CAPTURE.HEAD.photos_N.median_mm."""
    rows: list[PhotoRow] = []
    print(f"{'capture':16s} {'head':6s} {'photos':>6s} {'face mm':>8s} {'p95':>6s} {'whole head':>10s}")
    for case in cases:
        for head in heads:
            for count in counts_of(case):
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                    row = pool.submit(measure_count, case, head, count, preset).result()
                rows.append(row)
                print(
                    f"{row.capture:16s} {head:6s} {count:6d} {row.median_mm:8.3f} {row.p95_mm:6.2f} {row.head_median_mm:10.2f}", flush=True
                )
    draw(rows, plot)
    print(f"plot: {plot}")
    figures = {(row, key): getattr(row, key) for row in rows for key in ("median_mm", "p95_mm", "head_median_mm")}
    return {f"{row.capture}.{row.head}.photos_{row.photos}.{key}": value for (row, key), value in figures.items()}


def draw(rows: Sequence[PhotoRow], path: Path) -> None:
    """Two panels over the number of photos, median and 95th percentile of the face, a line a capture and head."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9.6, 3.8), dpi=150)
    lines = sorted({(row.capture, row.head) for row in rows})
    for axis, key, title in ((axes[0], "median_mm", "median"), (axes[1], "p95_mm", "95th percentile")):
        for number, (capture, head) in enumerate(lines):
            own = sorted((row for row in rows if (row.capture, row.head) == (capture, head)), key=lambda row: row.photos)
            style = {"color": f"C{number}", "marker": "o" if head == "anny" else "s", "markersize": 4.5, "linewidth": 1.6}
            axis.plot([row.photos for row in own], [getattr(row, key) for row in own], label=f"{capture}, {head}", **style)
        axis.set_xscale("log")
        axis.set_xticks(COUNTS, [str(count) for count in COUNTS])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.set_xlabel("photos")
        axis.set_title(f"distance of the face, {title} (mm)", fontsize=10)
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)
