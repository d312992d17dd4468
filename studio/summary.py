"""Runs the pipeline for the command line and prints what it left: artefacts, figures, doctor's findings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.scale import scale_words
from studio.artifacts import ARTEFACTS, read_json, read_object
from studio.console import Reporter
from studio.pipeline import StageOutcome, run_pipeline
from studio.report_text import figure_row
from studio.settings import RunSettings

if TYPE_CHECKING:
    from recon.avatar import Avatar, FittedView


AVERAGE_EYES_MM = 63.0
"""Distance between the pupils of the average adult (Dodgson, 2004)."""


def run_and_summarise(
    sources: Sequence[Path],
    out: Path,
    settings: RunSettings,
    reporter: Reporter,
    *,
    cameras: Path | None = None,
    resume: bool = True,
    force: Sequence[str] = (),
    only: Sequence[str] = (),
    commercial: bool = False,
) -> None:
    """Run the pipeline, then print notes, artefacts and figures."""
    outcomes = run_pipeline(
        sources, out, settings, cameras=cameras, resume=resume, force=force, only=only, reporter=reporter, commercial=commercial
    )
    print_notes(out, reporter)
    print_uncertainty(out, reporter)
    print_artefacts(out, outcomes, reporter)
    if (out / "evaluation.json").is_file() and not only:
        print_figures(read_json(out / "evaluation.json"), reporter)
    if (out / "report.html").is_file() and not only:
        reporter.say(f"open {(out / 'report.html').resolve()}")


def print_notes(out: Path, reporter: Reporter) -> None:
    """Pictures that were not used, and warnings such as what one photo cannot give."""
    capture = read_json(out / "capture.json") if (out / "capture.json").is_file() else {}
    avatar = _avatar_record(out)
    views = avatar.get("views") or capture.get("views", ())
    for view in views:
        if view["status"] != "ok":
            reporter.say(f"! {view['name']}: {view['status']}" + (f" ({view['reason']})" if view["reason"] else ""), style="yellow")
    for note in dict.fromkeys((*capture.get("notes", ()), *avatar.get("notes", ()))):
        reporter.say(f"! {note}", style="yellow")
    if avatar:
        reporter.say(f"scale: {scale_words(avatar['scale'], avatar.get('scale_error'), avatar.get('scale_source', ''))}")


def print_uncertainty(out: Path, reporter: Reporter) -> None:
    """One row an area: how far the surface may be off, one standard deviation.

    Where the scale is relative nobody knows the millimetres: the rows are shares of the distance between the eyes, with what they are
    on a person whose eyes are AVERAGE_EYES_MM apart.
    """
    record = _avatar_record(out)
    areas = record.get("region_sd_mm") or {}
    title = "how far the surface may be off (one standard deviation)"
    if areas and record.get("scale") == "relative":
        import recon

        eyes_mm = eye_distance_mm(recon.load_avatar(out / "avatar"))
        shares = {name: sd_mm / eyes_mm for name, sd_mm in areas.items()}
        rows = [(name, f"{100 * share:.2f}", short_mm(share * AVERAGE_EYES_MM)) for name, share in shares.items()]
        columns = ("area", ">% of eye distance", f">mm if that is {AVERAGE_EYES_MM:g} mm")
        reporter.table(f"{title}; the scale is relative", columns, rows)
    elif areas:
        reporter.table(title, ("area", ">mm"), [(name, short_mm(sd_mm)) for name, sd_mm in areas.items()])


def short_mm(distance_mm: float) -> str:
    """Two digits that mean something."""
    return f"{distance_mm:.1f}" if distance_mm >= 1 else f"{distance_mm:.2f}"


def eye_distance_mm(avatar: Avatar) -> float:
    """Between the centres of the eyeballs, in the avatar's own units taken for metres; the pupils are as far apart when looking far."""
    left, right = avatar.eye_centres
    return 1e3 * float(np.linalg.norm(left - right))


def eye_distance_words(avatar: Avatar) -> str:
    """Millimetres where the scale is metric; else that nobody knows, and what the files assume."""
    distance = f"{eye_distance_mm(avatar):.1f} mm"
    if avatar.scale == "metric":
        return distance
    return f"unknown: the scale is relative. Exported files assume {distance}; state the person's own with --ipd-mm or --distance"


def print_avatar(avatar: Avatar, reporter: Reporter) -> None:
    """What an avatar is: head, size with its error, eye distance, and each picture with status, head pose and residual."""
    rows = [
        ("head", f"{avatar.head.name}, {avatar.head.num_vertices:,} vertices; {avatar.head.licence}"),
        ("scale", scale_words(avatar.scale, avatar.scale_error, avatar.scale_source)),
        ("between the eyes", eye_distance_words(avatar)),
        ("pictures registered", f"{sum(view.camera is not None for view in avatar.views)} of {len(avatar.views)}"),
    ]
    reporter.table("avatar", ("what", "value"), rows)
    columns = ("picture", "status", ">yaw °", ">pitch °", ">roll °", ">focal px", ">residual px", "reason")
    reporter.table("pictures", columns, [_view_row(view) for view in avatar.views])
    for note in avatar.notes:
        reporter.say(f"! {note}", style="yellow")


def _view_row(view: FittedView) -> tuple[str, ...]:
    focal_px = math.nan if view.camera is None else float(view.camera.K[0, 0])
    figures = (view.yaw_deg, view.pitch_deg, view.roll_deg, focal_px, view.residual_px)
    return (view.name, view.status, *("–" if math.isnan(figure) else f"{figure:.1f}" for figure in figures), view.reason)


def _avatar_record(out: Path) -> Mapping[str, Any]:
    path = out / "avatar" / "avatar.json"
    return read_object(path) if path.is_file() else {}


def print_artefacts(out: Path, outcomes: Sequence[StageOutcome], reporter: Reporter) -> None:
    """One row a stage: where its artefact is, what it is, what it cost."""
    rows = []
    for outcome in outcomes:
        artefact = ARTEFACTS.get(outcome.name, "")
        cost = (f"{outcome.wall_s:.1f}", f"{outcome.peak_rss_mb:.0f}") if outcome.state != "left out" else ("", "")
        rows.append((outcome.name, artefact if (out / artefact).exists() else "–", outcome.state, *cost, outcome.summary))
    reporter.table(f"artefacts in {out}", ("stage", "artefact", "state", ">wall s", ">peak MiB", "what"), rows)


def print_figures(evaluation: Mapping[str, Any], reporter: Reporter) -> None:
    """The figures of evaluation.json with units."""
    rows = [(row.name, row.value, row.unit, row.count) for row in map(figure_row, evaluation["figures"])]
    reporter.table("figures (how each was taken: evaluation.json and the report)", ("measure", ">value", "unit", ">of"), rows)
    for note in evaluation.get("notes", ()):
        reporter.say(f"  {note}")


def print_doctor(reporter: Reporter) -> int:
    """Print doctor's findings; 0 where the main path works, else 1."""
    from studio.doctor import examine, main_path_works

    findings = examine()
    rows = [(finding.name, finding.state, finding.text, finding.lost if finding.state != "ok" else "") for finding in findings]
    reporter.table("recon doctor", ("what", "state", "found", "lost without it"), rows)
    works = main_path_works(findings)
    broken = [finding.name for finding in findings if finding.needed and finding.state in ("missing", "broken")]
    reporter.say("the main path works" if works else f"the main path does not work: {', '.join(broken)}")
    return 0 if works else 1
