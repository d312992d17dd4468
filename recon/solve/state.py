"""The unknowns of a fit as one value: shape, scale, focal lengths, and per instant a head pose and expression weights."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
from scipy.spatial.transform import Rotation

from render.camera import Camera


@dataclasses.dataclass(frozen=True, eq=False)
class SolveView:
    """What the solver knows of one picture; pixels are those of the working picture (cropped and resized)."""

    name: str
    instant: int
    """Views of one instant share head pose and expression. Loose pictures: each its own."""
    focal_group: int
    """Views of one group share the focal length's unknown factor."""
    focal_px: np.ndarray
    """(2,) float64: horizontal and vertical focal length at factor 1."""
    centre_px: np.ndarray
    """(2,) float64 principal point."""
    T_cam_world: np.ndarray
    """(4, 4) float64; identity for loose pictures, whose head pose then is relative to the camera."""
    width: int
    height: int
    landmarks_px: np.ndarray | None
    """(L, 2) detected points in the embedding's scheme, None where no face was detected."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where each unknown lies in the parameter vector: modes, log scale, log focals, then pose and weights per instant."""

    num_modes: int
    num_focals: int
    num_instants: int
    num_shapes: int

    @property
    def scale(self) -> int:
        """Column of the log scale."""
        return self.num_modes

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.num_modes + 1 + self.num_focals + self.num_instants * (6 + self.num_shapes)

    def focal(self, group: int) -> int:
        """Column of a group's log focal factor."""
        return self.num_modes + 1 + group

    def pose(self, instant: int) -> np.ndarray:
        """(6,) columns: rotation vector (left update, about the head's origin), translation."""
        start = self.num_modes + 1 + self.num_focals + instant * (6 + self.num_shapes)
        return np.arange(start, start + 6)

    def weights(self, instant: int) -> np.ndarray:
        """(E,) columns of an instant's expression weights."""
        start = int(self.pose(instant)[-1]) + 1
        return np.arange(start, start + self.num_shapes)

    @cached_property
    def modes(self) -> np.ndarray:
        """(M,) columns of the shape coefficients."""
        return np.arange(self.num_modes)


@dataclasses.dataclass(frozen=True, eq=False)
class HeadState:
    """One estimate of all unknowns."""

    coeffs: np.ndarray
    """(M,) float64 shape coefficients, unit variance."""
    log_scale: float
    log_focals: np.ndarray
    """(F,) float64: log of the factor on each group's focal length."""
    rotations: np.ndarray
    """(I, 3, 3) float64, head to world per instant (to camera for loose pictures)."""
    translations: np.ndarray
    """(I, 3) float64, metres."""
    weights: np.ndarray
    """(I, E) float64 expression weights."""
    rest: np.ndarray | None = None
    """(E,) float64: how far this person's face at rest lies along each expression shape; part of the neutral. None: zero."""

    @property
    def layout(self) -> Layout:
        """Where this state's unknowns lie in a parameter vector."""
        return Layout(len(self.coeffs), len(self.log_focals), len(self.rotations), self.weights.shape[1])

    def moved(self, step: np.ndarray) -> HeadState:
        """The state after a step (layout.size,)."""
        layout = self.layout
        per_instant = step[layout.focal(layout.num_focals) :].reshape(layout.num_instants, -1)
        turn = Rotation.from_rotvec(per_instant[:, :3]).as_matrix()
        return HeadState(
            coeffs=self.coeffs + step[layout.modes],
            log_scale=self.log_scale + float(step[layout.scale]),
            log_focals=self.log_focals + step[layout.focal(0) : layout.focal(layout.num_focals)],
            rotations=turn @ self.rotations,
            translations=self.translations + per_instant[:, 3:6],
            weights=self.weights + per_instant[:, 6:],
            rest=self.rest,
        )

    def focal_px(self, view: SolveView) -> np.ndarray:
        """(2,) focal lengths of a view in working pixels."""
        return view.focal_px * np.exp(self.log_focals[view.focal_group])

    def T_cam_head(self, view: SolveView) -> np.ndarray:
        """(4, 4) head frame to this view's camera."""
        return view.T_cam_world @ self.T_world_head(view.instant)

    def T_world_head(self, instant: int) -> np.ndarray:
        """(4, 4) head frame to world at an instant."""
        T_world_head = np.eye(4)
        T_world_head[:3, :3], T_world_head[:3, 3] = self.rotations[instant], self.translations[instant]
        return T_world_head

    def camera_in_head(self, view: SolveView) -> Camera:
        """The view's camera with the head frame as its world, in working pixels."""
        fx, fy = self.focal_px(view)
        K = np.array([[fx, 0.0, view.centre_px[0]], [0.0, fy, view.centre_px[1]], [0.0, 0.0, 1.0]])
        return Camera(K=K, T_cam_world=self.T_cam_head(view), width=view.width, height=view.height)

    def with_pose(self, instant: int, T_world_head: np.ndarray) -> HeadState:
        """The state with another head pose (4, 4) at one instant."""
        rotations, translations = self.rotations.copy(), self.translations.copy()
        rotations[instant], translations[instant] = T_world_head[:3, :3], T_world_head[:3, 3]
        return dataclasses.replace(self, rotations=rotations, translations=translations)

    def with_weights(self, instant: int, weights: np.ndarray) -> HeadState:
        """The state with other expression weights (E,) at one instant."""
        changed = self.weights.copy()
        changed[instant] = weights
        return dataclasses.replace(self, weights=changed)
