"""A sweep is data: per frame a camera, a head pose, an expression, a gaze and a light."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from assets.landmarks import LandmarkEmbedding
from render.camera import Camera
from render.head_pose import Gaze as Gaze
from render.head_pose import HeadPose as HeadPose
from render.head_pose import head_pose_matrix as head_pose_matrix
from render.mesh import Mesh


@dataclasses.dataclass(frozen=True, eq=False)
class Light:
    """Distant light as second-order spherical harmonics of the world normal."""

    sh_linear: np.ndarray
    """(9, 3) float32: irradiance / pi per linear RGB channel; order and constants in render/shading.py."""


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    name: str
    """File stem, unique in the sweep: "0007"."""
    camera: Camera
    head_pose: HeadPose = dataclasses.field(default_factory=HeadPose)
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """ARKit weights by name."""
    gaze: Gaze = dataclasses.field(default_factory=Gaze)
    light: Light | None = None
    """None: the posable's own light."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sweep:
    frames: tuple[Frame, ...]
    depth_range_m: tuple[float, float]
    """(near, far) camera z in metres, locked over the whole sweep; what control depth is mapped over."""


class Posable(Protocol):
    """What render needs of an avatar."""

    def pose(self, frame: Frame) -> Mesh:
        """The mesh of this frame in the world."""
        ...

    @property
    def albedo_srgb(self) -> np.ndarray:
        """(H, W, 3) uint8, row 0 is the top (v = 1)."""
        ...

    @property
    def light(self) -> Light: ...

    @property
    def landmarks(self) -> LandmarkEmbedding:
        """The mediapipe478 embedding on this head's triangles."""
        ...

    @property
    def T_world_head(self) -> np.ndarray:
        """(4, 4) float64 rigid: rest pose of the head in the world; tells a sweep where the front is."""
        ...
