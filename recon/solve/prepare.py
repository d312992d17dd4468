"""Turn a capture with detections into a problem for the solver: working pictures, solver views, the deformable head."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from assets.detector_model import DetectorModel
from assets.head_model import HeadModel
from assets.landmarks import LandmarkEmbedding
from assets.mediapipe_edges import mediapipe_face_edges
from recon.cameras import FocalPrior, focal_prior, group_instants, principal_point_px
from recon.capture import Detection, View
from recon.solve.deformable import make_deformable
from recon.solve.detected import sample_detector
from recon.solve.pictures import WorkingPicture, make_working_picture
from recon.solve.problem import Problem
from recon.solve.residuals import sample_surface
from recon.solve.state import SolveView

ReadView = Callable[[View], np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """What the stages need, in the order of the views that take part."""

    views: tuple[View, ...]
    """(N,) capture views with a face, then those without one that may be registered."""
    pictures: list[WorkingPicture]
    problem: Problem
    focal: FocalPrior
    is_rig: bool
    """Whether some views have a calibrated camera: the world is then the rig's, and views without one are posed in it."""

    @property
    def detected(self) -> list[int]:
        """Indices of views with landmarks."""
        return [v for v, view in enumerate(self.problem.views) if view.landmarks_px is not None]

    @property
    def calibrated(self) -> list[int]:
        """Indices of views of the rig, whose cameras are known; none in a loose capture."""
        return [v for v, view in enumerate(self.views) if view.camera is not None]


def prepare(
    views: list[View],
    detections: Mapping[str, Detection],
    head: HeadModel,
    embedding: LandmarkEmbedding,
    read: ReadView,
    *,
    shape_precision: float,
    detector_model: DetectorModel | None = None,
) -> Prepared:
    """Read and crop the pictures and set up the least-squares problem.

    With `detector_model` the landmarks lie where that calibration has them for each view's yaw, else where `embedding` has them.
    """
    prior, instants = focal_prior(views), group_instants(views)
    is_rig = any(view.camera is not None for view in views)
    pictures, solve_views = [], []
    for index, view in enumerate(views):
        found = detections.get(view.name)
        landmarks = None if found is None else np.asarray(found.landmarks_px, np.float64)
        picture = make_working_picture(read(view), landmarks)
        pictures.append(picture)
        solve_views.append(_solve_view(view, picture, landmarks, prior, index, int(instants[index])))
    deformable = make_deformable(head)
    problem = Problem(
        deformable=deformable,
        views=tuple(solve_views),
        landmarks=sample_surface(
            head.triangles[np.maximum(embedding.triangle_index, 0)].astype(np.int64),
            embedding.barycentric.astype(np.float64),
            deformable.modes,
            deformable.shapes,
        ),
        landmark_weight=landmark_weights(embedding.spread_mm),
        is_contour=contour_landmarks(len(embedding.spread_mm)),
        focal_sd=prior.sd,
        has_scale=is_rig,
        shape_precision=shape_precision,
        detected=None if detector_model is None else sample_detector(head, deformable, detector_model),
    )
    return Prepared(tuple(views), pictures, problem, prior, is_rig)


def landmark_weights(spread_mm: np.ndarray) -> np.ndarray:
    """(L,) weight of each landmark from the detector's measured spread (L,): 1 at the median, 0 where it was never seen.

    A spread far below the median is not believed, since it comes from few sightings.
    """
    finite = np.isfinite(spread_mm)
    relative = np.where(finite, spread_mm, 1.0) / np.median(spread_mm[finite])
    return finite / np.maximum(relative, 0.5) ** 2


def contour_landmarks(count: int) -> np.ndarray:
    """(L,) bool: landmarks of MediaPipe's scheme on lids, pupils and lips; none in a scheme of another length."""
    mask = np.zeros(count, bool)
    if count == 478:
        for line in mediapipe_face_edges():
            if line.part in ("eye", "lips", "pupil"):
                mask[[*line.points, *(index for pair in line.pairs for index in pair)]] = True
    return mask


def _solve_view(
    view: View, picture: WorkingPicture, landmarks: np.ndarray | None, prior: FocalPrior, index: int, instant: int
) -> SolveView:
    return SolveView(
        name=view.name,
        instant=instant,
        focal_group=int(prior.group[index]),
        focal_px=prior.focal_px[index] * picture.scale,
        centre_px=picture.to_working(principal_point_px(view)),
        T_cam_world=np.eye(4) if view.camera is None else view.camera.T_cam_world,
        width=picture.grey.shape[1],
        height=picture.grey.shape[0],
        landmarks_px=None if landmarks is None else picture.to_working(landmarks),
    )
