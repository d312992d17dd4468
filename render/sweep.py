"""A sweep is data: per frame a camera, a head pose, an expression, a gaze and a light."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from assets.errors import RangeError
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
    """Plain file stem (`check_frame_name`), unique in the sweep: "0007"."""
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

    def __post_init__(self) -> None:
        """Raises RangeError without frames, for a name that is no plain file stem, and for a name that occurs twice."""
        if not self.frames:
            raise RangeError(expected="a sweep of at least one frame", got="no frames", do="ask for at least one angle or frame")
        counts = Counter(check_frame_name(frame.name) for frame in self.frames)
        name, times = counts.most_common(1)[0]
        if times > 1:
            raise RangeError(
                expected="frames with different names", got=f"{name!r} {times} times", do="number the frames, or use concatenate"
            )


def check_frame_name(name: str) -> str:
    """Returns the name of a frame after checking that it can be a file's stem in any folder; else RangeError."""
    if not name or name.startswith(".") or any(character in "/\\:" or not character.isprintable() for character in name):
        raise RangeError(
            expected="a frame name that is a plain file stem: no folders, not hidden", got=repr(name), do="use names like '0007'"
        )
    return name


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
