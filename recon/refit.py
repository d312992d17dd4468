"""Fit one more picture with an avatar that is held: pose, expression, exposure and white balance, by analysis through synthesis.

The avatar is rendered where the picture's landmarks put it, flow between the rendering and the picture says where each point of its
surface went, and a few Gauss-Newton steps bring pose, expression and, for a picture without a calibrated camera, the focal length
there; then again with finer pictures. Identity, texture and light stay as they are: what the avatar cannot show of the picture remains.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.detector_model import load_detector_model
from assets.errors import DetectionError
from recon.avatar import Avatar, FittedView
from recon.capture import Detection, View
from recon.detect import DetectSettings, detect
from recon.face_mesh import DetectorName
from recon.refit_colour import fit_gain
from recon.refit_match import RefitMatches, RefitRound, Rendering, match_rendering, render_working
from recon.solve.assemble import inverse_rigid, pose_seen_by
from recon.solve.bundle import DENSE_DAMPING, landmark_residual_px, shortened, solve_landmarks
from recon.solve.deformable import UNFITTED_SHAPES, DeformableHead
from recon.solve.detected import sample_detector
from recon.solve.expression_prior import WEIGHT_OUTSIDE_SD, WEIGHT_SCALE, add_sides, prior_weights
from recon.solve.landmark_bias import add_landmarks
from recon.solve.normal_equations import NormalEquations, cauchy_weight
from recon.solve.pictures import WorkingPicture, make_working_picture
from recon.solve.prepare import contour_landmarks, landmark_weights
from recon.solve.problem import Problem, add_blocks, add_priors, free_columns, view_blocks
from recon.solve.residuals import project, sample_surface
from recon.solve.stages import LandmarkStage
from recon.solve.start import empty_state, start_loose
from recon.solve.state import HeadState, SolveView
from render import Camera, Texture

LANDMARKS = LandmarkStage("landmarks", frozenset({"pose", "expression"}), steps=8)
ROUNDS: tuple[RefitRound, ...] = (
    RefitRound(blur_px=2.5, window_px=16.0, robust_px=2.0),
    RefitRound(blur_px=1.5, window_px=14.0, robust_px=1.5),
    RefitRound(blur_px=1.0, window_px=12.0, robust_px=1.0),
    RefitRound(blur_px=0.7, window_px=12.0, robust_px=0.7),
    RefitRound(blur_px=0.7, window_px=12.0, robust_px=0.5),
)
STEPS = 3
MATCH_WEIGHT = 0.1
"""One over the variance of a match, px^-2: matches stand this close that ten of them say about what one says."""
LANDMARK_WEIGHT, CONTOUR_WEIGHT = 0.05, 0.5
"""As in the fine flow of a fit (recon/solve/stages.py)."""
FOCAL_SD = 0.02
"""Standard deviation of the log of a focal length that came from the avatar's own pictures or from EXIF; unknown ones ten times that."""


@dataclasses.dataclass(frozen=True)
class RefitSettings:
    """How a picture is fitted with an avatar that is held."""

    detector: DetectorName = "bundled"
    """Which face mesh finds the landmarks."""
    free_focal: bool = True
    """Fit the focal length of a picture without a calibrated camera."""


class Refitter:
    """An avatar prepared once, to fit many pictures with."""

    def __init__(self, avatar: Avatar, settings: RefitSettings = RefitSettings()) -> None:
        """Raises MissingAssetError where the head's detector calibration or the detector's file is not installed."""
        self._avatar, self._settings = avatar, settings
        # The solver knows blendshapes in the head model's own size: everything is divided by the avatar's, and multiplied in the end.
        self._size = float(avatar.expression_scale)
        self._deformable = frozen_head(avatar)
        self._detected = sample_detector(avatar.head, self._deformable, load_detector_model(avatar.head, settings.detector))
        self._texture = Texture.from_srgb(avatar.albedo_srgb)

    @cached_property
    def _known_focals(self) -> dict[tuple[int, int], float]:
        """Median fitted focal length over the long side, by the sides of the pictures."""
        found: dict[tuple[int, int], list[float]] = {}
        for view in self._avatar.views:
            if view.camera is not None:
                found.setdefault(_sides(view.camera.width, view.camera.height), []).append(float(view.camera.K[0, 0]))
        return {sides: float(np.median(focals)) for sides, focals in found.items()}

    def fit(self, view: View, image: np.ndarray, *, detection: Detection | None = None) -> FittedView:
        """Fit one picture.

        Args:
            view: of the picture; its `camera` where calibrated (its world is then the avatar's), else its EXIF focal length.
            image: (H, W, 3) uint8 RGB as `recon.ingest.read_view` gives it.
            detection: the picture's landmarks, where they are known already.

        Raises DetectionError where no face is found, or none that the avatar's head can be.
        """
        found = detection or detect(view, image, DetectSettings(detector=self._settings.detector))
        if found is None:
            raise DetectionError(expected="a picture with a face", got=f"none in {view.name}", do="give a picture that shows the face")
        landmarks = np.asarray(found.landmarks_px, np.float64)
        picture = make_working_picture(image, landmarks)
        problem = self._problem(view, picture, landmarks)
        started = start_loose(problem, empty_state(problem, num_focals=1, num_instants=1))
        if started.unposed:
            raise DetectionError(
                expected="a face that the avatar's head can be", got=f"{view.name}: {started.unposed[0]}", do="look at what was detected"
            )
        state = solve_landmarks(problem, _in_world(started.state, problem), LANDMARKS, [0])
        rendering = self._rendered(view, problem, state)
        for round_ in ROUNDS:
            matches = match_rendering(rendering, picture, round_, self._deformable)
            if matches is None:
                break
            state = self._settle(problem, state, matches, round_)
            rendering = self._rendered(view, problem, state)
        return self._fitted(view, problem, picture, state, rendering)

    def _rendered(self, view: View, problem: Problem, state: HeadState) -> Rendering:
        return render_working(self._avatar, self._texture, problem, state, self._size, is_in_world=view.camera is not None)

    def _problem(self, view: View, picture: WorkingPicture, landmarks_px: np.ndarray) -> Problem:
        """The picture alone before the held head."""
        avatar, deformable = self._avatar, self._deformable
        focal, focal_sd = self._focal(view)
        T_cam_world = np.eye(4) if view.camera is None else view.camera.T_cam_world.copy()
        T_cam_world[:3, 3] /= self._size
        centre = np.array([view.width, view.height]) / 2 if view.camera is None else view.camera.K[:2, 2]
        solve_view = SolveView(
            name=view.name,
            instant=0,
            focal_group=0,
            focal_px=focal * picture.scale,
            centre_px=picture.to_working(centre),
            T_cam_world=T_cam_world,
            width=picture.grey.shape[1],
            height=picture.grey.shape[0],
            landmarks_px=picture.to_working(landmarks_px),
        )
        embedding = avatar.landmarks
        corners = avatar.head.triangles[np.maximum(embedding.triangle_index, 0)].astype(np.int64)
        return Problem(
            deformable=deformable,
            views=(solve_view,),
            landmarks=sample_surface(corners, embedding.barycentric.astype(np.float64), deformable.modes, deformable.shapes),
            landmark_weight=landmark_weights(embedding.spread_mm),
            is_contour=contour_landmarks(len(embedding.spread_mm)),
            focal_sd=np.array([focal_sd]),
            has_scale=True,
            detected=self._detected,
        )

    def _focal(self, view: View) -> tuple[np.ndarray, float]:
        """(2,) focal lengths in view pixels and the standard deviation of their logarithm."""
        if view.camera is not None:
            return np.array([view.camera.K[0, 0], view.camera.K[1, 1]]), 1e-6
        known = self._known_focals.get(_sides(view.width, view.height))
        focal = known or view.focal_px or 1.2 * max(view.width, view.height)
        return np.array([focal, focal]), FOCAL_SD if known or view.focal_px else 10 * FOCAL_SD

    def _settle(self, problem: Problem, state: HeadState, matches: RefitMatches, round_: RefitRound) -> HeadState:
        """Gauss-Newton steps on one round's matches, the landmarks and the priors."""
        free = {"pose", "expression"} | ({"focal"} if self._settings.free_focal and problem.focal_sd[0] > 1e-5 else set())
        mask, layout, view = free_columns(state.layout, frozenset(free), {0}), state.layout, problem.views[0]
        for _ in range(STEPS):
            equations, posed = NormalEquations(layout.size), problem.posed(state)
            add_priors(equations, problem, state, [0])
            add_weights_prior(equations, problem, state)
            seen = project(matches.samples.points(posed[0]), state, view)
            residual = matches.px - seen.px
            rows = np.broadcast_to(np.eye(2), (len(residual), 2, 2))
            weight = MATCH_WEIGHT * matches.weight * cauchy_weight(np.linalg.norm(residual, axis=1), round_.robust_px)
            add_blocks(equations, "matches", view_blocks(layout, view, matches.samples, seen, seen.d_point, rows), residual, weight)
            add_landmarks(equations, problem, state, [0], posed, weight=LANDMARK_WEIGHT, contour_weight=CONTOUR_WEIGHT)
            state = state.moved(shortened(equations.solve(mask, damping=DENSE_DAMPING), layout))
        return state

    def _fitted(self, view: View, problem: Problem, picture: WorkingPicture, state: HeadState, rendering: Rendering) -> FittedView:
        T_world_head, T_cam_head = state.T_world_head(0), state.T_cam_head(problem.views[0])
        T_world_head[:3, 3] *= self._size
        T_cam_head[:3, 3] *= self._size
        camera = view.camera
        if camera is None:
            T_world_head = self._avatar.T_world_head.copy()
            focal = state.focal_px(problem.views[0]) / picture.scale
            K = np.array([[focal[0], 0.0, view.width / 2], [0.0, focal[1], view.height / 2], [0.0, 0.0, 1.0]])
            camera = Camera(K=K, T_cam_world=T_cam_head @ inverse_rigid(T_world_head), width=view.width, height=view.height)
        weights = np.clip(state.weights[0], 0.0, 1.0)
        yaw, pitch, roll = pose_seen_by(T_cam_head)
        return FittedView(
            name=view.name,
            status=view.status,
            reason=view.reason,
            camera=camera,
            T_world_head=T_world_head,
            weights={name: float(w) for name, w in zip(self._deformable.shape_names, weights, strict=True) if w > 1e-4},
            residual_px=landmark_residual_px(problem, state, 0) / picture.scale,
            yaw_deg=yaw,
            pitch_deg=pitch,
            roll_deg=roll,
            gain_linear=fit_gain(rendering, picture),
        )


def refit(avatar: Avatar, view: View, image: np.ndarray, settings: RefitSettings = RefitSettings()) -> FittedView:
    """`Refitter.fit` of one picture alone."""
    return Refitter(avatar, settings).fit(view, image)


def frozen_head(avatar: Avatar) -> DeformableHead:
    """The avatar's own neutral and shapes as a head without any freedom but expressions, in the head model's size."""
    head, size = avatar.head, np.float32(avatar.expression_scale)
    used = [k for k, name in enumerate(ARKIT_BLENDSHAPES) if name not in (*UNFITTED_SHAPES, *head.absent_blendshapes)]
    shapes = head.blendshape_deltas[used]
    if avatar.shape_corrections:
        shapes = shapes.copy()
        for row, k in enumerate(used):
            correction = avatar.shape_corrections.get(ARKIT_BLENDSHAPES[k])
            if correction is not None:
                shapes[row] += correction / size
    return DeformableHead(
        head=head,
        modes=np.zeros((0, head.num_vertices, 3), np.float32),
        num_identity=0,
        shapes=np.ascontiguousarray(shapes),
        shape_names=tuple(ARKIT_BLENDSHAPES[k] for k in used),
        offsets=(avatar.neutral / size - head.vertices).astype(np.float32),
    )


def add_weights_prior(equations: NormalEquations, problem: Problem, state: HeadState) -> None:
    """Few and strong weights in [0, 1] (recon/solve/expression_prior.py), as free as in a lively instant: the head at rest is known."""
    weights, columns = state.weights[0], state.layout.weights(0)
    inside, outside = prior_weights(state.weights, np.array([WEIGHT_SCALE]))
    equations.add_prior("expression prior", columns, -weights, 1 / np.sqrt(inside[0]))
    is_out = outside[0] > 0
    equations.add_prior("expression range", columns[is_out], (np.clip(weights, 0, 1) - weights)[is_out], WEIGHT_OUTSIDE_SD)
    add_sides(equations, problem, state, [0])


def _in_world(state: HeadState, problem: Problem) -> HeadState:
    """The state with the head's pose against the camera as one in the world of that camera."""
    return state.with_pose(0, inverse_rigid(problem.views[0].T_cam_world) @ state.T_world_head(0))


def _sides(width: int, height: int) -> tuple[int, int]:
    return max(width, height), min(width, height)
