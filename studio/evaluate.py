"""`recon evaluate`: wires the rooms' measures over an output folder into one record of figures with units."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from assets.errors import ArtifactError
from recon.avatar import Avatar
from render.buffers import RenderBuffers
from render.sweep import Frame, Sweep
from studio.artifacts import changed_since
from studio.report_text import seen_pose
from studio.settings import EvaluateSettings

if TYPE_CHECKING:
    from conditioning.quality import FrameAdherence

Progress = Callable[[str, int, int], None]

MAX_YAW_STEP_DEG = 30.0
"""Neighbours in the sweep are compared where their seen yaw differs by no more than this."""

UV_TEXELS = 256
"""Side of the chart in which the variance over frames is taken."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    """nan where nothing could be measured."""
    unit: str
    count: int
    """How many frames, views, pairs or points stand behind it."""
    how: str
    """What was compared with what, in one line."""
    headline: bool = False
    """Whether it stands at the top of the report."""


@dataclasses.dataclass(frozen=True)
class Series:
    name: str
    points: Sequence[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Curve:
    """A figure over another, for a small chart."""

    name: str
    x_label: str
    y_label: str
    series: Sequence[Series]


@dataclasses.dataclass(frozen=True)
class FrameRecord:
    """What was measured on one picture of one frame."""

    name: str
    subject: Literal["render", "generated"]
    yaw_deg: float
    """Head yaw as the camera sees it."""
    adherence: FrameAdherence
    psnr_to_previous_db: float
    """Against the frame before, warped through the geometry; nan where there is no neighbour near enough."""
    ssim_to_previous: float


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """evaluation.json."""

    figures: Sequence[Figure]
    curves: Sequence[Curve]
    frames: Sequence[FrameRecord]
    notes: Sequence[str]


def evaluate(
    out: Path, source: Path, settings: EvaluateSettings, *, with_frames: bool = True, progress: Progress | None = None
) -> Evaluation:
    """Measure geometry, residuals, adherence and consistency of what lies in an output folder.

    Args:
        out: folder with avatar/, and sweep.json and frames/ where there are such.
        source: the capture; its gt/neutral.ply is compared with where it is there.
        with_frames: whether frames/ belongs to this run. Frames that were drawn for another avatar or sweep are left out, with a note.

    Raises ArtifactError where the avatar is absent or an artefact is broken.
    """
    import recon
    import render

    avatar = recon.load_avatar(out / "avatar")
    figures = [*geometry_figures(avatar, source, settings), *residual_figures(avatar)]
    records: list[FrameRecord] = []
    stale = why_frames_are_stale(out) if with_frames else ""
    if (out / "sweep.json").is_file():
        sweep = render.load_sweep(out / "sweep.json")
        pictures = _Pictures(out, avatar, sweep, settings, with_frames=with_frames and not stale)
        for subject in pictures.subjects:
            records += list(frame_records(pictures, subject, progress))
            figures += [*frame_figures(records, subject), uv_figure(pictures, subject)]
    return Evaluation(figures, curves(records), records, [*notes(records), *([stale] if stale else [])])


def why_frames_are_stale(out: Path) -> str:
    """Plain words where frames/ was drawn from other control images, or those from another avatar or sweep; else empty."""
    for stage in ("generate", "control"):
        changed = changed_since(out, stage)
        if changed and (out / "frames").is_dir():
            return f"The frames in frames/ were left out: {', '.join(changed)} changed since the {stage} stage ran."
    return ""


def geometry_figures(avatar: Avatar, source: Path, settings: EvaluateSettings) -> Iterator[Figure]:
    """Distance of the true face's points from the fitted mesh, where the capture has ground truth."""
    truth_path = source / "gt" / "neutral.ply"
    if not settings.geometry or not truth_path.is_file():
        return
    from studio.geometry_truth import measure_truth

    alignment = settings.alignment or natural_alignment(avatar)
    error, count, how = measure_truth(avatar, truth_path, alignment)
    yield Figure("face distance to truth, median", error.median_mm, "mm", count, how, headline=True)
    yield Figure("face distance to truth, mean", error.mean_mm, "mm", count, how)
    yield Figure("face distance to truth, 95 of 100 points below", error.p95_mm, "mm", count, how)


def natural_alignment(avatar: Avatar) -> Literal["none", "rigid", "similarity"]:
    """none where the avatar stands in a rig's own world, rigid where only its size is known, similarity where nothing is."""
    if avatar.scale == "relative":
        return "similarity"
    return "rigid" if np.allclose(avatar.T_world_head, np.eye(4)) else "none"


def residual_figures(avatar: Avatar) -> Iterator[Figure]:
    """How well the fitted mesh meets the detected landmarks, over the registered views."""
    registered = [view for view in avatar.views if view.camera is not None]
    residuals = np.array([view.residual_px for view in registered if np.isfinite(view.residual_px)])
    how = "median over 478 landmarks in each picture, fitted mesh against detector"
    yield Figure("pictures registered", len(registered), "views", len(avatar.views), "pictures with a camera after the solve")
    yield Figure("landmark residual, median view", float(np.median(residuals)) if len(residuals) else np.nan, "px", len(residuals), how)
    yield Figure("landmark residual, worst view", float(residuals.max()) if len(residuals) else np.nan, "px", len(residuals), how)


class _Pictures:
    """The frames of a sweep with their pictures, rendered anew at the pictures' size; nothing is held in memory."""

    def __init__(self, out: Path, avatar: Avatar, sweep: Sweep, settings: EvaluateSettings, *, with_frames: bool) -> None:
        import render

        self.avatar = avatar
        self._folder = out / "frames"
        count = min(len(sweep.frames), settings.max_frames)
        chosen = np.unique(np.linspace(0, len(sweep.frames) - 1, count).round().astype(int))
        sweep = dataclasses.replace(sweep, frames=tuple(sweep.frames[i] for i in chosen))
        has_frames = with_frames and (self._folder / "frames.json").is_file()
        self.subjects: tuple[Literal["render", "generated"], ...] = ("render", "generated") if has_frames else ("render",)
        if has_frames:
            height, width = self._generated(sweep.frames[0].name).shape[:2]
            sweep = render.resized(sweep, width=width, height=height)
        self.sweep = sweep

    def stream(self, subject: Literal["render", "generated"]) -> Iterator[tuple[Frame, RenderBuffers, np.ndarray]]:
        """Frame, geometry and the picture (H, W, 3) uint8 to be judged."""
        import render

        for frame, buffers in zip(self.sweep.frames, render.render_sweep(self.avatar, self.sweep), strict=True):
            yield frame, buffers, buffers.beauty_srgb if subject == "render" else self._generated(frame.name)

    def _generated(self, name: str) -> np.ndarray:
        from studio.pictures import load_picture

        return load_picture(self._folder / f"{name}.png")


def frame_records(pictures: _Pictures, subject: Literal["render", "generated"], progress: Progress | None) -> Iterator[FrameRecord]:
    """Adherence of each picture, and its agreement with the one before through the geometry."""
    from conditioning.quality import measure_adherence
    from render.quality import measure_pair

    previous: tuple[float, RenderBuffers, np.ndarray] | None = None
    for index, (frame, buffers, rgb) in enumerate(pictures.stream(subject), 1):
        if rgb.shape != buffers.beauty_srgb.shape:
            raise ArtifactError(
                expected=f"generated frames of one size {buffers.beauty_srgb.shape}",
                got=f"{rgb.shape} for {frame.name}",
                do="generate again",
            )
        yaw = seen_pose(pictures.avatar, frame).yaw_deg
        adherence = measure_adherence(
            rgb, buffers.landmarks_px, landmarks_world=buffers.landmarks_world, camera=buffers.camera, name=frame.name
        )
        psnr = ssim = np.nan
        if previous and abs(previous[0] - yaw) <= MAX_YAW_STEP_DEG:
            pair = measure_pair(buffers, rgb, previous[1], previous[2])
            psnr, ssim = pair.psnr_db, pair.ssim
        yield FrameRecord(frame.name, subject, yaw, adherence, psnr, ssim)
        previous = (yaw, buffers, rgb)
        if progress:
            progress(f"measuring {subject} frames", index, len(pictures.sweep.frames))


def frame_figures(records: Sequence[FrameRecord], subject: str) -> Iterator[Figure]:
    """Medians over the frames of one subject; frames without a face are counted apart."""
    from conditioning.quality import summarise

    mine = [record for record in records if record.subject == subject]
    total = summarise([record.adherence for record in mine])
    seen = total.num_frames - total.num_no_face
    kind = f"{subject} frames"
    floor = "; the floor: the detector's own error" if subject == "render" else ""
    how = f"landmarks detected on {kind} against those asked, over the inter-ocular distance{floor}"
    yield Figure(f"{kind}: landmark error, median", total.nme_median, "NME", seen, how, headline=subject == "generated")
    yield Figure(f"{kind}: landmark error, 95 of 100 below", total.nme_p95, "NME", seen, how)
    for name in ("yaw", "pitch", "roll"):
        value = getattr(total, f"{name}_error_deg_median")
        yield Figure(f"{kind}: {name} error, median", value, "°", seen, f"pose of the detected face against the one asked{floor}")
    yield Figure(f"{kind}: no face found", total.num_no_face, "frames", total.num_frames, "counted apart, in no median")
    how = "each frame against the one before, warped through the geometry, where both see the surface"
    psnr = np.array([record.psnr_to_previous_db for record in mine if not np.isnan(record.psnr_to_previous_db)])
    ssim = np.array([record.ssim_to_previous for record in mine if not np.isnan(record.ssim_to_previous)])
    yield Figure(f"{kind}: PSNR between neighbours, median", _median(psnr), "dB", len(psnr), how, headline=subject == "generated")
    yield Figure(f"{kind}: SSIM between neighbours, median", _median(ssim), "", len(ssim), how)


def uv_figure(pictures: _Pictures, subject: Literal["render", "generated"]) -> Figure:
    """How much each point of the skin changes its colour over the sweep."""
    from render.quality import uv_variance

    stream = ((buffers, rgb) for _, buffers, rgb in pictures.stream(subject))
    variance = uv_variance(stream, size=UV_TEXELS)
    count = int((variance.count > 1).sum())
    how = "deviation of each texel's colour over all frames that see it; light on a turning head is part of it"
    return Figure(f"{subject} frames: colour deviation in UV", variance.deviation, "of 255", count, how)


def curves(records: Sequence[FrameRecord]) -> list[Curve]:
    """Adherence and consistency over yaw, rendered and generated frames apart."""
    subjects = list(dict.fromkeys(record.subject for record in records))

    def series(pick: Callable[[FrameRecord], float]) -> list[Series]:
        return [Series(name, [(record.yaw_deg, pick(record)) for record in records if record.subject == name]) for name in subjects]

    if not records:
        return []
    return [
        Curve("Landmark error over yaw", "yaw °", "NME", series(lambda record: record.adherence.nme)),
        Curve("Agreement of neighbours over yaw", "yaw °", "PSNR dB", series(lambda record: record.psnr_to_previous_db)),
    ]


def notes(records: Sequence[FrameRecord]) -> list[str]:
    """What a reader must know to read the figures."""
    if not records:
        return []
    lines = ["NME: mean distance over 468 points divided by the distance of the outer eye corners; 0.01 is about 1 mm on a face."]
    enlarged = max(record.adherence.enlarged for record in records)
    if enlarged > 1:
        lines.append(
            f"Frames were enlarged {enlarged:.1f} times before detection, because the detector finds nothing on pictures this small."
        )
    return lines


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else float("nan")
