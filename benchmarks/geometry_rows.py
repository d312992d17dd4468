"""One line of the geometry table: a capture fitted with a head in one way, and everything that its truth allows to measure."""

from __future__ import annotations

import dataclasses
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import numpy as np
from scipy.spatial.transform import Rotation

from assets import load_head
from assets.head_model import REGIONS, HeadModel
from benchmarks.geometry_calibration import shares_within
from benchmarks.geometry_captures import Case, FrameTruth, frame_truths
from benchmarks.geometry_scores import RegionScore, score_mesh
from recon import Avatar, FitSettings, fit, load_capture
from recon.avatar import FittedView
from recon.capture import Capture
from recon.export.ply import write_ply
from recon.quality import geometry_error

KINDS = ("average", "landmarks", "full")
IN_PLAY = 0.1
"""A shape is in play where its true weight exceeds this in some picture."""
NAN = float("nan")


@dataclasses.dataclass(frozen=True)
class Row:
    """Figures of one fit; nan where the capture cannot tell."""

    capture: str
    head: str
    kind: str
    """"average": the head model's mean after alignment; "landmarks": without the pictures; "full": everything but texture."""
    median_mm: float
    """Over the face."""
    mean_mm: float
    p95_mm: float
    wide_median_mm: float = NAN
    """Face with forehead and sides of the jaw."""
    wide_p95_mm: float = NAN
    head_median_mm: float = NAN
    """Everything that the truth has: ears, scalp, neck."""
    head_p95_mm: float = NAN
    expressions_mm: float = NAN
    """Median over the face of the posed meshes of a rig's expressions where they stand in the world, mean over the expressions."""
    expressions_p95_mm: float = NAN
    expressions_worst_mm: float = NAN
    """Median of the worst expression."""
    rotation_deg: float = NAN
    """Median angle between fitted and true head pose as the camera sees it, after one rotation for all."""
    focal_error: float = NAN
    """Median relative error of the focal length."""
    registered: float = NAN
    """Share of the views whose truth is known that were registered."""
    strangers_used: float = NAN
    """Registered views that show somebody else."""
    weights_correlation: float = NAN
    """Pearson correlation of fitted and true ARKit weights over registered pictures and the shapes in play."""
    neutral_drift_mm: float = NAN
    """Median distance over the face between the neutral of the expressions' pictures alone and that of all, after a rigid alignment."""
    within_2sd: float = NAN
    """Share of the face's points that lie within two of the avatar's own standard deviations, and of each area of the head below."""
    within_2sd_by_area: Mapping[str, float] = dataclasses.field(default_factory=dict)
    strangers_mixed_in: float = NAN
    """Photos of somebody else, each in a fit of its own; of them `strangers_used` were registered and
    `strangers_named` set aside as another person's."""
    strangers_named: float = NAN
    true_views_rejected: float = NAN
    """Over all those fits."""
    seconds: float = NAN
    """Wall time with detection, without texture and scoring."""
    peak_gb: float = NAN
    """Resident memory of the process at its highest."""
    views: int = 0


def measure(case: Case, head: str, kind: str, *, drift: bool = True, preset: str = "full", meshes: Path | None = None) -> Row:
    """Fit one capture in one way and score it; to be called in a process of its own, whose memory it reports.

    `meshes` is a folder for the fitted neutrals, in the frame in which they are scored.
    """
    if kind == "average":
        average = load_head(_model_of(head))
        return _with_scores(Row(case.key, head, kind, NAN, NAN, NAN), score_mesh(case.folder, average.vertices, average.triangles))
    started = time.perf_counter()
    capture = load_capture(case.source, cameras=case.cameras)
    avatar = fitted(capture, head, kind, preset)
    seconds, peak_gb = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    is_rig = case.kind == "rig"
    if meshes is not None:
        mesh = avatar.mesh(frame="world" if is_rig else "head")
        meshes.mkdir(parents=True, exist_ok=True)
        write_ply(meshes / f"{case.key}.{head}.{kind}.ply", mesh.vertices, mesh.triangles, comment="metres, +Y up, frame of the score")
    row = Row(case.key, head, kind, NAN, NAN, NAN, seconds=round(seconds, 1), peak_gb=round(peak_gb, 2), views=len(avatar.views))
    row = scored(row, avatar, case)
    row = dataclasses.replace(row, **view_figures(avatar, frame_truths(case), is_rig))
    if is_rig and kind == "full":
        row = dataclasses.replace(row, **expression_figures(avatar, case))
        if drift and any(truth.expression != "neutral" for truth in frame_truths(case).values()):
            row = dataclasses.replace(row, neutral_drift_mm=neutral_drift_mm(avatar, capture, case, head, preset))
    return row


def fitted(capture: Capture, head: str, kind: str, preset: str = "full") -> Avatar:
    """The avatar of a capture; a head "ict15" is ICT with the first 15 of its modes."""
    settings = FitSettings(
        head=_model_of(head),
        preset=preset,  # pyright: ignore[reportArgumentType]
        use_dense=kind == "full",
        free_form=kind == "full",
        texture=False,
    )
    with patch("recon.fitting.load_head", lambda name, **options: _cut(load_head(name, **options), head)):
        return fit(capture, settings)


def _model_of(head: str) -> str:
    return "ict" if head == "ict15" else head


def _cut(model: HeadModel, head: str) -> HeadModel:
    if head != "ict15":
        return model
    return dataclasses.replace(model, identity_names=model.identity_names[:15], identity_basis=model.identity_basis[:15])


def scored(row: Row, avatar: Avatar, case: Case) -> Row:
    """The row with the distances of an avatar's neutral: where it lies in a rig's world, else after a similarity."""
    is_rig = case.kind == "rig"
    mesh, align = avatar.mesh(frame="world" if is_rig else "head"), ("none" if is_rig else "similarity")
    row = _with_scores(row, score_mesh(case.folder, mesh.vertices, mesh.triangles, align=align))
    if avatar.uncertainty is None:
        return row
    shares = shares_within(avatar, case, 2.0)
    return dataclasses.replace(row, within_2sd=shares.pop("face"), within_2sd_by_area=shares)


def _with_scores(row: Row, scores: Mapping[str, RegionScore]) -> Row:
    face = scores["face"]
    row = dataclasses.replace(row, median_mm=face.median_mm, mean_mm=face.mean_mm, p95_mm=face.p95_mm)
    if wide := scores.get("wide_face"):
        row = dataclasses.replace(row, wide_median_mm=wide.median_mm, wide_p95_mm=wide.p95_mm)
    return dataclasses.replace(row, head_median_mm=scores["head"].median_mm, head_p95_mm=scores["head"].p95_mm)


def view_figures(avatar: Avatar, truths: Mapping[str, FrameTruth], is_rig: bool) -> dict[str, float]:
    """Rotation, focal length, share registered, strangers used and weights' correlation."""
    by_name = {Path(view.name).name: view for view in avatar.views}
    known = {name: view for name, view in by_name.items() if name in truths}
    used = {name: view for name, view in known.items() if view.camera is not None and view.T_world_head is not None}
    figures = {"registered": round(len(used) / max(len(known), 1), 3)}
    figures["strangers_used"] = float(sum(view.camera is not None for name, view in by_name.items() if name not in truths))
    if len(used) >= 2:
        pairs = [(pose_of(view), truths[name].T_cam_head[:3, :3]) for name, view in used.items()]
        figures["rotation_deg"] = round(float(np.median(rotation_errors_deg(pairs))), 3)
        figures["weights_correlation"] = round(
            weights_correlation([(view.weights, truths[name].weights) for name, view in used.items()]), 3
        )
    if used and not is_rig:
        ratios = [view.camera.K[0, 0] / truths[name].K[0, 0] for name, view in used.items() if view.camera is not None]
        figures["focal_error"] = round(float(np.median(np.abs(np.array(ratios) - 1))), 4)
    return figures


def pose_of(view: FittedView) -> np.ndarray:
    """(3, 3) rotation from the head frame to the camera of a registered view."""
    if view.camera is None or view.T_world_head is None:
        raise SystemExit(f"{view.name} is not registered")
    return view.camera.T_cam_world[:3, :3] @ view.T_world_head[:3, :3]


def rotation_errors_deg(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """(N,) angles between fitted and true rotations (head to camera) after the one rotation of the head frame that fits most.

    The median rotation by Weiszfeld's iterations (Hartley et al., "L1 rotation averaging", CVPR 2011), so that one wrong pose
    does not turn the others.
    """
    relative = Rotation.from_matrix(np.stack([found.T @ truth for found, truth in pairs]))
    weights, middle = np.ones(len(pairs)), relative.mean()
    for _ in range(30):
        angles = (middle.inv() * relative).magnitude()
        weights = 1 / np.maximum(angles, 1e-4)
        middle = relative.mean(weights)
    return np.degrees((middle.inv() * relative).magnitude())


def weights_correlation(pairs: list[tuple[Mapping[str, float], Mapping[str, float]]]) -> float:
    """Pearson correlation of (fitted, true) weights by name over all pictures and the shapes in play; nan where none is."""
    names = sorted({name for _, truth in pairs for name, weight in truth.items() if weight > IN_PLAY})
    found, truth = (np.array([[pair[k].get(name, 0.0) for name in names] for pair in pairs], float).ravel() for k in (0, 1))
    if len(truth) < 3 or np.ptp(truth) == 0 or np.ptp(found) == 0:
        return NAN
    return float(np.corrcoef(found, truth)[0, 1])


def expression_figures(avatar: Avatar, case: Case) -> dict[str, float]:
    """Scores of the meshes as posed in a rig's pictures of each expression, where they stand."""
    truths, medians, p95s = frame_truths(case), [], []
    for expression in sorted({truth.expression for truth in truths.values()} - {"neutral", "mixed"}):
        views = [view for view in avatar.views if truths[Path(view.name).name].expression == expression and view.T_world_head is not None]
        if not views:
            return {}
        mesh = avatar.pose_view(views[0])
        face = score_mesh(case.folder, mesh.vertices, mesh.triangles, expression=expression, align="none")["face"]
        medians.append(face.median_mm)
        p95s.append(face.p95_mm)
    if not medians:
        return {}
    middle, far = (round(float(np.mean(values)), 3) for values in (medians, p95s))
    return {"expressions_mm": middle, "expressions_p95_mm": far, "expressions_worst_mm": max(medians)}


def neutral_drift_mm(avatar: Avatar, capture: Capture, case: Case, head: str, preset: str) -> float:
    """How far the neutral of the expressions' pictures alone lies from the avatar's: bones do not move with a smile."""
    truths = frame_truths(case)
    views = tuple(view for view in capture.views if truths[Path(view.name).name].expression != "neutral")
    other = fitted(dataclasses.replace(capture, views=views), head, "full", preset)
    face = avatar.head.vertex_regions == REGIONS.index("face")
    triangles = avatar.head.triangles
    return round(geometry_error(other.neutral, triangles, avatar.neutral, triangles, mask=face, align="rigid").median_mm, 3)
