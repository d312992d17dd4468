"""A photo that the avatar has never seen, beside the avatar in its place."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import KDTree

from assets.head_model import PARTS, REGIONS
from assets.landmarks import LandmarkEmbedding
from benchmarks.appearance_skin import SkinDetail, skin_detail
from benchmarks.geometry_captures import Case, frame_truths
from recon.avatar import Avatar, FittedView
from recon.capture import Capture, View
from recon.fitting import FitSettings, fit
from recon.ingest import read_view
from recon.refit import Refitter
from render import Frame, Mesh, RenderBuffers, masked_psnr, masked_ssim, render_buffers, srgb_to_linear
from render.shading import linear_to_srgb_bytes
from render.sweep import Light

MAX_YAW_DEG = 60.0
DEPTH_RANGE_M = (0.05, 50.0)
FEATURE_M = 0.004


@dataclasses.dataclass(frozen=True, eq=False)
class LeftOut:
    """One left-out photo."""

    capture: str
    view: str
    yaw_deg: float
    psnr_db: float
    ssim: float
    skin: SkinDetail
    fit_seconds: float
    sheet: np.ndarray
    """(H, W, 3) uint8 RGB: photo, rendering, four times their difference about grey, cropped to the face."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Posed:
    """A mesh that is posed already, for the renderer."""

    mesh: Mesh
    albedo_srgb: np.ndarray
    light: Light
    landmarks: LandmarkEmbedding
    T_world_head: np.ndarray

    def pose(self, frame: Frame) -> Mesh:
        """The mesh, whatever the frame asks."""
        return self.mesh


def neutral_views(case: Case, capture: Capture) -> list[View]:
    """The photos at rest whose cameras see the head within MAX_YAW_DEG, by the truth."""
    truths, chosen = frame_truths(case), []
    for view in capture.views:
        truth = truths.get(view.name)
        if truth is None or truth.expression != "neutral":
            continue
        towards = -truth.T_cam_head[:3, :3].T @ truth.T_cam_head[:3, 3]
        if abs(np.degrees(np.arctan2(towards[0], towards[2]))) <= MAX_YAW_DEG:
            chosen.append(view)
    return chosen


def left_out(case: Case, capture: Capture, view: View, settings: FitSettings) -> LeftOut:
    """Fit all photos but one, then on that one pose, expression, exposure and white balance alone, and compare."""
    started = time.perf_counter()
    avatar = fit(dataclasses.replace(capture, views=tuple(v for v in capture.views if v.name != view.name)), settings)
    seconds, photo = time.perf_counter() - started, read_view(view)
    fitted = Refitter(avatar).fit(view, photo)
    buffers, rendered = drawn_as(avatar, fitted)
    face = face_mask(avatar, buffers)
    return LeftOut(
        capture=case.name,
        view=view.name,
        yaw_deg=fitted.yaw_deg,
        psnr_db=masked_psnr(rendered, photo, face),
        ssim=masked_ssim(rendered, photo, face),
        skin=skin_detail(rendered, photo, face, smooth_skin(avatar, buffers)),
        fit_seconds=seconds,
        sheet=sheet_of(photo, rendered, face),
    )


def drawn_as(avatar: Avatar, view: FittedView) -> tuple[RenderBuffers, np.ndarray]:
    """The buffers of the avatar in a view's place, and its picture (H, W, 3) uint8 with the view's exposure and white balance."""
    if view.camera is None:
        raise SystemExit(f"{view.name} was not registered")
    posed = _Posed(avatar.pose_view(view), avatar.albedo_srgb, avatar.light, avatar.landmarks, avatar.T_world_head)
    buffers = render_buffers(posed, Frame(Path(view.name).stem, view.camera), DEPTH_RANGE_M)
    gain = np.array(view.gain_linear or (1.0, 1.0, 1.0), np.float32)
    return buffers, linear_to_srgb_bytes(srgb_to_linear(buffers.beauty_srgb) * gain)


def face_mask(avatar: Avatar, buffers: RenderBuffers) -> np.ndarray:
    """(H, W) bool: pixels of the face region's skin and of the eyes."""
    head, ids = avatar.head, buffers.fragments.face_id
    wanted = (head.vertex_regions == REGIONS.index("face")) | np.isin(
        head.vertex_parts, [PARTS.index(p) for p in ("eye_left", "eye_right")]
    )
    return np.where(ids >= 0, wanted[head.triangles].all(1)[np.maximum(ids, 0)], False)


def smooth_skin(avatar: Avatar, buffers: RenderBuffers) -> np.ndarray:
    """(H, W) bool: face skin at least FEATURE_M from eyes, lips' inside and nostrils on the average head, which are no skin detail."""
    head, ids = avatar.head, buffers.fragments.face_id
    is_skin = (head.vertex_parts == PARTS.index("skin")) & (head.vertex_regions == REGIONS.index("face"))
    others = head.vertices[~is_skin & (head.vertex_regions != REGIONS.index("scalp")) & (head.vertices[:, 2] > 0)]
    far = KDTree(others).query(head.vertices)[0] > FEATURE_M if len(others) else np.ones(head.num_vertices, bool)
    return np.where(ids >= 0, (is_skin & far)[head.triangles].all(1)[np.maximum(ids, 0)], False)


def sheet_of(photo: np.ndarray, rendered: np.ndarray, face: np.ndarray, *, margin: int = 20) -> np.ndarray:
    """Photo, rendering and difference side by side, twice their size."""
    rows, columns = np.flatnonzero(face.any(1)), np.flatnonzero(face.any(0))
    box = slice(max(rows[0] - margin, 0), rows[-1] + margin), slice(max(columns[0] - margin, 0), columns[-1] + margin)
    difference = np.where(face[..., None], np.clip(128 + 4 * (rendered.astype(int) - photo), 0, 255), 128).astype(np.uint8)
    side_by_side = np.concatenate([picture[box] for picture in (photo, rendered, difference)], 1)
    return cv2.resize(side_by_side, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
