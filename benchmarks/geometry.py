"""How far the fitted head is from the ground truth: average head, landmarks alone, full fit, on every capture with a truth.

Usage: python -m benchmarks.geometry [--json FILE] [--captures sample studio-a ...] [--heads anny ict] [--stand-ins] [--photos]
       python -m benchmarks.geometry --kinds no-exif wrong-exif few-cameras mixed strangers

The sample is rendered by the project itself; the captures of $RECON_DATA (else ../shared) are other renderings and are left out
where they are absent; --stand-ins adds people outside every head model (`benchmarks.stand_ins`, rendered the first time), and
--photos measures the error against the number of photos. `--kinds` also knows captures made harder on purpose: photos whose focal
length is unknown (no-exif) or stated 1.3 times as long (wrong-exif), four cameras of a rig (few-cameras) and these with all its other
pictures as loose ones (mixed), photos of somebody else mixed in one at a time (strangers). The head ict15 is ICT with 15 of its modes.
Every row runs in a process of its own, so that its time and peak memory are its own. Distances go from the truth's exposed vertices to
the fitted surface: after a similarity for loose pictures and for the average head, which has no place in a world; as they lie in the
world for fits of a calibrated rig. "2 sd" is the share of the face within two of the fit's own standard deviations.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.geometry_captures import CAPTURES, DATA_DIR, SAMPLE_DIR, Case, case_of, source_of
from benchmarks.geometry_photos import PLOT, measure_photos
from benchmarks.geometry_rows import KINDS, Row, measure
from benchmarks.geometry_trials import TRIALS, applies, other_person, try_out
from benchmarks.stand_ins import STAND_INS, default_work_dir

__all__ = ["DATA_DIR", "SAMPLE_DIR", "main", "source_of"]

IN_FAMILY: Mapping[tuple[str, str], tuple[float, float]] = {
    ("rig", "anny"): (0.25, 2.0), ("rig", "ict"): (0.10, 0.5),
    ("loose", "anny"): (0.40, 2.5), ("loose", "ict"): (0.18, 0.8),
    ("clip", "anny"): (0.50, 2.8), ("clip", "ict"): (0.25, 0.9),
}  # fmt: skip
"""Targets of median and p95 over the face in mm, by kind of capture and head, for synthetic people."""
OUT_OF_FAMILY: Mapping[str, tuple[float, float]] = {"rig": (0.25, 2.0), "loose": (0.40, 2.5), "clip": (0.50, 2.8)}
"""Targets on people of no model's family, with any head."""
EXPRESSIONS: Mapping[str, tuple[float, float]] = {"anny": (0.40, 2.5), "ict": (0.20, 0.9), "ict15": (0.40, 2.5)}
SECONDS: Mapping[str, float] = {"rig": 60, "loose": 120, "clip": 120}
HEADER = (
    f"{'capture':16s} {'head':6s} {'kind':11s} {'face mm':>7s} {'p95':>6s} {'(target)':>11s} {'wide':>6s} {'head':>6s} "
    f"{'expr':>6s} {'p95':>5s} {'rot°':>5s} {'focal':>6s} {'reg':>5s} {'corr':>5s} {'drift':>6s} {'2 sd':>5s} "
    f"{'time':>7s} {'memory':>8s}"
)


def target_of(case: Case, head: str) -> tuple[float, float]:
    """(median, p95) in mm that a full fit of the face should reach."""
    known = IN_FAMILY.get((case.kind, head))
    return OUT_OF_FAMILY[case.kind] if known is None or case.name in STAND_INS else known


def text_of(row: Row, case: Case) -> str:
    """One line of the table; "-" where the capture cannot tell."""
    target = "({:.2f} {:.1f})".format(*target_of(case, row.head)) if row.kind == "full" else ""
    share = _shown(row.registered, "{:.2f}", 5) + ("!" if row.strangers_used > 0 else " ")
    return (
        f"{row.capture:16s} {row.head:6s} {row.kind:11s} {row.median_mm:7.3f} {row.p95_mm:6.2f} {target:>11s} "
        f"{_shown(row.wide_median_mm, '{:.2f}', 6)} {_shown(row.head_median_mm, '{:.2f}', 6)} "
        f"{_shown(row.expressions_mm, '{:.3f}', 6)} {_shown(row.expressions_p95_mm, '{:.2f}', 5)} {_shown(row.rotation_deg, '{:.2f}', 5)} "
        f"{_shown(100 * row.focal_error, '{:.2f}%', 6)} {share}{_shown(row.weights_correlation, '{:.2f}', 5)} "
        f"{_shown(row.neutral_drift_mm, '{:.3f}', 6)} {_shown(row.within_2sd, '{:.2f}', 5)} "
        f"{_shown(row.seconds, '{:.1f} s', 7)} {_shown(row.peak_gb, '{:.2f} GB', 8)}"
    )


def remark_of(row: Row) -> str:
    """What a line has no column for: strangers, or the shares of each area's points within two standard deviations; "" for nothing."""
    if math.isfinite(row.strangers_mixed_in):
        away = row.strangers_mixed_in - row.strangers_used
        return (
            f"  {row.strangers_mixed_in:.0f} photos of somebody else, each in a fit of its own: {away:.0f} set aside, "
            f"{row.strangers_named:.0f} of them named as another person's; "
            f"{row.true_views_rejected:.0f} true pictures rejected; face and share of the worst fit"
        )
    if row.kind == "full" and row.within_2sd_by_area:
        return "  within 2 sd: " + ", ".join(f"{name} {share:.2f}" for name, share in row.within_2sd_by_area.items())
    return ""


def _shown(value: float, form: str, width: int) -> str:
    return f"{form.format(value) if math.isfinite(value) else '-':>{width}s}"


def keys_of(row: Row) -> dict[str, float | int]:
    """CAPTURE.HEAD.KIND.figure of every finite figure, and CAPTURE.HEAD.figure of the full fit."""
    figures = {key: value for key, value in dataclasses.asdict(row).items() if isinstance(value, float | int)}
    figures |= {f"within_2sd_{area.replace(' ', '_')}": share for area, share in row.within_2sd_by_area.items()}
    figures = {key: value for key, value in figures.items() if math.isfinite(value)}
    flat = {f"{row.capture}.{row.head}.{row.kind}.{key}": value for key, value in figures.items()}
    return flat | ({f"{row.capture}.{row.head}.{key}": value for key, value in figures.items()} if row.kind == "full" else {})


def in_own_process(case: Case, head: str, kind: str, arguments: argparse.Namespace) -> Row:
    """`measure` or `try_out` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        if kind in KINDS:
            drift, meshes = not arguments.no_drift, arguments.meshes
            return pool.submit(measure, case, head, kind, drift=drift, preset=arguments.preset, meshes=meshes).result()
        other = other_person(case, arguments.strangers_from, arguments.work) if kind == "strangers" else None
        most = arguments.strangers
        return pool.submit(try_out, case, head, kind, preset=arguments.preset, strangers=other, most=most).result()


def print_targets() -> None:
    """What the figures beside them should be."""
    print(
        "targets: expressions (rig) " + ", ".join(f"{head} {a:.2f} / {b:.1f} mm" for head, (a, b) in EXPRESSIONS.items() if head != "ict15")
    )
    print("         head at most 3 x face; rotation 0.4°, focal 1 % (3 % without EXIF), registered 0.95, correlation 0.8, drift 0.3 mm")
    print("         time " + ", ".join(f"{kind} {seconds:.0f} s" for kind, seconds in SECONDS.items()) + " on 2 quiet cores, 4 GB")


def main() -> None:
    """Measure, print the table, write JSON with keys CAPTURE.HEAD.median_mm (full fit) and CAPTURE.HEAD.KIND.*."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captures", nargs="+", choices=[*CAPTURES, *STAND_INS], help="default: the sample and those of $RECON_DATA")
    parser.add_argument("--heads", nargs="+", default=["anny"], choices=["anny", "ict", "ict15"])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=[*KINDS, *TRIALS])
    parser.add_argument("--preset", default="full", choices=["full", "fast"])
    parser.add_argument("--stand-ins", action="store_true", help="people outside every head model, too")
    parser.add_argument("--work", type=Path, default=default_work_dir(), help="where stand-ins are rendered to")
    parser.add_argument("--no-drift", action="store_true", help="leave out the second fit of each rig")
    parser.add_argument("--photos", action="store_true", help="error against the number of photos, instead of the table")
    parser.add_argument("--plot", type=Path, default=PLOT, help="where --photos draws")
    parser.add_argument("--strangers", type=int, default=0, help="so many strangers' photos, spread over their capture; 0: all of them")
    parser.add_argument(
        "--strangers-from", choices=[*CAPTURES, *STAND_INS], help="whose photos; default: the first capture of another person"
    )
    parser.add_argument("--meshes", type=Path, help="folder for the fitted neutrals, to look at where they are wrong")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    names = arguments.captures or [*CAPTURES, *(STAND_INS if arguments.stand_ins else ())]
    cases = [case_of(name, arguments.work) for name in names]
    if arguments.photos:
        loose = [case for case in cases if case.kind == "loose" and case.source.exists()]
        results = measure_photos(loose, arguments.heads, arguments.preset, plot=arguments.plot)
    else:
        results = _table(cases, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


def _table(cases: list[Case], arguments: argparse.Namespace) -> dict[str, float | int]:
    results: dict[str, float | int] = {}
    print(HEADER)
    for case in cases:
        if not case.source.exists():
            print(f"{case.name:16s} left out: no {case.source}")
            continue
        for head in arguments.heads:
            for kind in filter(functools.partial(applies, case=case), arguments.kinds):
                row = in_own_process(case, head, kind, arguments)
                print("\n".join(filter(None, (text_of(row, case), remark_of(row)))), flush=True)
                results |= keys_of(row)
    print_targets()
    return results


if __name__ == "__main__":
    main()
