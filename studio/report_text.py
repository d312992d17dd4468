"""The words and numbers of the report: what each stage is and is not, captions, figures with units, licences."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assets.counting import how_many
from recon.avatar import Avatar
from recon.capture import Capture
from recon.scale import scale_words
from render.head_pose import HeadPose, head_pose_matrix, head_pose_seen
from render.sweep import Frame, Sweep
from studio.settings import RunSettings, SweepSettings

STAGE_NAMES = ("capture", "fit", "sweep", "render", "control", "train", "generate", "export", "evaluate")
"""Stages in the report's table."""

PARTS_USED: tuple[tuple[str, str], ...] = (
    ("recon", "Apache-2.0"),
    ("MediaPipe", "Apache-2.0: face detector and face mesh, with their models"),
    ("Open3D", "MIT: ray casting with Intel Embree (Apache-2.0)"),
    ("OpenCV", "Apache-2.0: pictures and optical flow"),
    ("NumPy, SciPy", "BSD-3-Clause"),
    ("trimesh", "MIT: reading a capture's ground-truth mesh, where there is one"),
)
DIFFUSION_PARTS: tuple[tuple[str, str], ...] = (
    ("PyTorch", "BSD-3-Clause"),
    ("diffusers, transformers", "Apache-2.0: the pipelines, not the weights"),
)


GUESSED_SD_MM = 3.0
"""From this spread on an area is said to be hardly known: the average head alone is known better in the face."""


def number(value: float | None, digits: int) -> str:
    """A number with fixed digits and a real minus sign, a dash where it is unknown."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "−")


def degrees_range(angles_deg: Sequence[float]) -> str:
    """The range of angles in whole degrees, "−66° to 70°"; one number where both ends are the same."""
    low, high = number(min(angles_deg), 0), number(max(angles_deg), 0)
    return f"{low}°" if low == high else f"{low}° to {high}°"


def lead(capture: Capture, avatar: Avatar) -> str:
    """One sentence on what went in."""
    registered = sum(view.camera is not None for view in avatar.views)
    rig = "from a calibrated rig" if capture.is_calibrated else "without known cameras"
    if capture.is_mixed:
        known = sum(view.camera is not None for view in capture.views)
        rig = f"in one solve: {known} of a calibrated rig, the others without known cameras"
    return f"Head avatar of one person, fitted to {registered} of {how_many(len(capture.views), 'picture')} {rig}."


def facts(avatar: Avatar, evaluation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and value of the few numbers at the top."""
    registered = [view for view in avatar.views if view.camera is not None]
    yaws = [view.yaw_deg for view in registered if np.isfinite(view.yaw_deg)]
    residuals = [view.residual_px for view in registered if np.isfinite(view.residual_px)]
    yield "pictures registered", f"{len(registered)} of {len(avatar.views)}"
    if yaws:
        yield "yaw covered", degrees_range(yaws)
    if residuals:
        yield "landmark residual, median", f"{np.median(residuals):.1f} px"
    for figure in evaluation.get("figures", ()):
        if figure.get("headline") and figure["value"] is not None:
            yield figure["name"], f"{figure_row(figure).value} {figure['unit']}"
    yield "scale", scale_words(avatar.scale, avatar.scale_error, "")


def statements(
    out: Path, capture: Capture, avatar: Avatar, settings: RunSettings, frames_record: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """What each stage is and is not, as plain sentences."""
    head = avatar.head.name
    yield "Fit", f"One identity and one expression per picture, solved over all views on the {head} head. {scale_sentence(capture, avatar)}"
    yield "Texture", texture_sentence(settings)
    yield "Render", "Exact for this geometry: depth, normals and landmarks come from the mesh, not from a detector. Hair is not modelled."
    if (out / "control").is_dir():
        kinds = ", ".join(settings.control.kinds)
        yield "Control images", f"{kinds}, drawn as the public ControlNets were trained, from geometry, so they hold at any angle."
    yield "Generated frames", str(frames_record.get("statement") or "None: no diffusion model was given, so this stage was left out.")
    yield "Figures", "Measured on these artefacts by this run. A figure whose subject the project rendered itself says so."


def scale_sentence(capture: Capture, avatar: Avatar) -> str:
    """Where the size comes from: a rig, stated distances, or nowhere; with its error where that is known."""
    error = "" if avatar.scale_error is None else f", ± {100 * avatar.scale_error:.2g} % (one standard deviation)"
    has_rig = any(view.camera is not None for view in capture.views)
    if avatar.scale == "metric" and capture.scale == "metric":
        return f"Sizes are metric, from the rig's cameras{error}."
    if avatar.scale == "metric":
        known = "the rig's cameras state no unit" if has_rig else "no camera was known"
        stated = avatar.scale_source or "distance between the pupils"
        return f"Sizes are metric{error}, as far as what was stated is right ({stated}); {known}."
    if capture.scale == "metric":
        return "No two cameras of the rig show the head at one instant, so its size is a guess."
    if has_rig:
        return "The rig's cameras state no unit: shape is right up to one scale, and millimetres here assume an average head's size."
    return "No camera was known: shape is right up to one scale, and millimetres in this page assume an average head's size."


def texture_sentence(settings: RunSettings) -> str:
    """Whether the texture comes from the pictures."""
    if not settings.fit.texture:
        return "None was baked (--fit.no-texture): the head is flat grey."
    return "Baked from the pictures, with one light for all; what no picture saw is filled in and marked in the confidence map."


def uncertainty(avatar: Avatar) -> str:
    """What the map of uncertainty says in words: the best and the worst known areas of the face, and what to do."""
    if avatar.uncertainty is None:
        return ""
    face = {name: sd for name, sd in avatar.uncertainty.region_sd_mm.items() if name not in ("scalp", "neck", "ears")}
    if not face:
        return ""
    best, worst = min(face, key=lambda name: face[name]), max(face, key=lambda name: face[name])
    text = f"Best known of the face: {best} ({_millimetres(face[best])}); least: {worst} ({_millimetres(face[worst])})."
    guessed = [name for name, sd in avatar.uncertainty.region_sd_mm.items() if sd > GUESSED_SD_MM]
    return text + (f" Orange and red, little better known than by the average head: {', '.join(guessed)}." if guessed else "")


def _millimetres(sd_mm: float) -> str:
    return f"± {sd_mm:.1f} mm" if sd_mm >= 1 else f"± {sd_mm:.2f} mm"


def coverage(avatar: Avatar, unseen: Sequence[str]) -> str:
    """The widest gap between the pictures, and which shapes no picture showed."""
    yaws = sorted(view.yaw_deg for view in avatar.views if np.isfinite(view.yaw_deg))
    gaps = [(high - low, low, high) for low, high in itertools.pairwise(yaws)]
    ends = [(yaws[0] + 90, -90.0, yaws[0]), (90 - yaws[-1], yaws[-1], 90.0)] if yaws else []
    widest = max([*gaps, *ends], default=(180.0, -90.0, 90.0))
    text = f"The widest gap in yaw is {widest[0]:.0f}°, between {number(widest[1], 0)}° and {number(widest[2], 0)}°."
    return text + (f" Expression shapes that no picture shows above 0.05 ({len(unseen)}): {', '.join(unseen)}." if unseen else "")


def seen_pose(avatar: Avatar, frame: Frame) -> HeadPose:
    """Head pose as the frame's camera sees it: camera and head turn together."""
    turned = np.eye(4)
    turned[:3, :3] = head_pose_matrix(frame.head_pose)
    return head_pose_seen(frame.camera, avatar.T_world_head @ turned)


def frame_caption(avatar: Avatar, frame: Frame) -> str:
    """Yaw as seen, and the person's own expression that the frame shows, or the strongest expression weight."""
    from recon.expression_library import nearest_expression

    angle = f"{number(seen_pose(avatar, frame).yaw_deg, 0)}°"
    if not frame.weights:
        return angle
    own = nearest_expression(avatar, frame.weights) if avatar.expressions else None
    if own is not None:
        return f"{angle} {own.expression.name} {own.strength:.2f}"
    name, weight = max(frame.weights.items(), key=lambda item: item[1])
    return f"{angle} {name} {weight:.2f}" if weight > 0 else f"{angle} neutral"


def sweep_parts(sweep: Sweep, settings: SweepSettings) -> list[tuple[str, Sequence[Frame]]]:
    """The sweep cut as its settings made it; a sweep of another length (replaced by hand) stays in rows of twelve."""
    lengths = [("Orbit: the camera goes round", settings.orbit_frames), ("Head turn: the camera stands still", settings.head_turn_frames)]
    lengths += [(f"Expression: {name}", settings.expression_frames) for name in settings.expressions]
    if sum(length for _, length in lengths) != len(sweep.frames):
        return [(f"Frames {i + 1} and on", sweep.frames[i : i + 12]) for i in range(0, len(sweep.frames), 12)]
    parts, start = [], 0
    for name, length in lengths:
        parts += [(name, sweep.frames[start : start + length])] if length else []
        start += length
    return parts


def sweep_rows(rows: Sequence[str]) -> str:
    """What the rows of the contact sheets are, by the kinds of pictures that are there."""
    return f"Rows from top to bottom: {', '.join(rows)}. Full size in the folders render, control and frames beside this page."


@dataclasses.dataclass(frozen=True)
class FigureRow:
    """A measured figure as text."""

    name: str
    value: str
    unit: str
    count: str
    how: str


def figure_row(figure: Mapping[str, Any]) -> FigureRow:
    """Digits by the unit: a hundredth of a millimetre or decibel means nothing here."""
    digits = {"mm": 2, "px": 2, "°": 1, "dB": 1, "%": 1, "": 4, "frames": 0, "views": 0}.get(figure["unit"], 3)
    return FigureRow(figure["name"], number(figure["value"], digits), figure["unit"], str(figure["count"]), figure["how"])


def licences(avatar: Avatar, frames_record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every part that this page's pictures went through, with its licence as its makers state it."""
    commercial = "commercial use allowed" if avatar.head.commercial else "no commercial use"
    yield f"Head model {avatar.head.name}", f"{avatar.head.source}: {avatar.head.licence} ({commercial})"
    yield from PARTS_USED
    if frames_record:
        yield from DIFFUSION_PARTS
        yield "Diffusion weights", str(frames_record.get("statement", ""))
        for part in frames_record.get("licences", ()):
            if part["kind"] == "model":
                allows = {True: "commercial use allowed", False: "no commercial use"}.get(part["commercial"], "commercial use unknown")
                yield part["name"], f"{part['licence']} ({allows})"
    yield "The pictures", "Their rights, and the consent of the person in them, are with whoever made this capture."
