"""A capture: all pictures of one person that go into one solve, each with a status."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Literal

import numpy as np

from assets.errors import RangeError
from recon.lens import LensModel
from render.camera import Camera

ViewStatus = Literal["ok", "no_face", "several_faces", "blurred", "unreadable", "not_an_image", "too_large", "too_small", "rejected"]
"""`ok` and `several_faces` (largest face used) go into the solve; a view may also be `no_face` and be registered from its neighbours."""


USABLE_STATUSES: tuple[ViewStatus, ...] = ("ok", "several_faces")
"""Statuses with which a view goes into the solve."""

UNREAD_STATUSES: tuple[ViewStatus, ...] = ("unreadable", "not_an_image", "too_large")
"""Statuses of views that have no pixels to show: the file cannot be decoded, or was refused by its header."""


@dataclasses.dataclass(frozen=True)
class CaptureSettings:
    """How pictures and videos are taken in."""

    max_megapixels: float = 100.0
    """A larger picture is refused from its header, without decoding it. Nothing else bounds the size; decoding takes 7 bytes a pixel."""
    min_side_px: int = 96
    """A picture with a shorter side is `too_small`."""
    num_keyframes: int = 20
    """How many frames a video gives, at most."""
    max_candidates: int = 60
    """How many frames of a video are looked at to choose the key frames from."""
    videos_beside_photos: bool = True
    """Whether videos that lie in a folder of photos go into the same solve; a video alone is always used."""
    cameras_unit: Literal["m", "cm", "mm", "unknown"] | None = None
    """Unit of the positions in the cameras file; None: what the file says. A rig of unknown unit gives a head of relative size."""
    cameras_invert: bool = False
    """Read the matrices of the cameras file in the direction opposite to what its format says."""
    cameras_axes: Literal["opencv", "opengl"] | None = None
    """Camera axes of the cameras file; None: what its format says (docs/cameras.md)."""


def check_capture_settings(settings: CaptureSettings) -> None:
    """Raises RangeError for counts and sizes with which no picture could be taken in."""
    least = {"max_megapixels": 0.01, "min_side_px": 32, "num_keyframes": 1, "max_candidates": 1}
    for name, smallest in least.items():
        value = getattr(settings, name)
        if not smallest <= value < math.inf:
            raise RangeError(expected=f"{name} of {smallest:g} or more", got=f"{value:g}", do="leave it out for the default")


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """One picture: a photo, a video frame, or a picture of a calibrated rig."""

    name: str
    """Unique in the capture: file name, or "clip.mp4#000123" for a video frame."""
    path: Path
    frame_index: int | None = None
    """Index in the video, None for a photo."""
    timestamp_s: float | None = None
    width: int = 0
    """After EXIF orientation; of a picture that is `too_large` as its header says; 0 where unreadable."""
    height: int = 0
    quarter_turns: int = 0
    """How often the picture on disk was turned clockwise by a quarter, as EXIF says, to become this one."""
    focal_px: float | None = None
    """Prior from EXIF, None where unknown."""
    camera: Camera | None = None
    """Known camera of a calibrated rig, None for loose pictures."""
    distortion: tuple[float, ...] = ()
    """Coefficients of `lens` for the picture on disk; `read_view` removes it. Empty where none is known."""
    lens: LensModel = "opencv"
    """Lens model that `distortion` belongs to (recon/lens.py)."""
    camera_file: str = ""
    """Name of the cameras file that `camera` came from, "" without one."""
    camera_unit: Literal["", "m", "cm", "mm"] = ""
    """What the file's lengths were taken to be; "": unknown, so that the rig's size is."""
    camera_axes: Literal["opencv", "opengl"] = "opencv"
    """Camera axes that the file was read in."""
    camera_inverted: bool = False
    """Whether the file's matrices were read in the direction opposite to what its format says."""
    camera_turns: int = 0
    """How often the file's camera was turned clockwise by a quarter, with its picture; 0 where the shown pixels were calibrated."""
    status: ViewStatus = "ok"
    reason: str = ""
    """Plain words for a status other than ok."""
    is_grey: bool = False
    sharpness: float = 0.0
    """`recon.sharpness.fine_detail` of the face at 256 px (sharp about 0.25, blurred below 0.07); 0 where unknown."""


@dataclasses.dataclass(frozen=True, eq=False)
class Capture:
    source: Path
    views: tuple[View, ...]
    """All pictures found, in name order, also those with a bad status; files of endings that are not read after the others."""
    scale: Literal["metric", "relative"]
    """metric only where calibrated cameras of a known unit gave it; a rig of unknown unit is relative."""
    notes: tuple[str, ...] = ()
    """Warnings for the user, such as what one photo alone cannot give."""

    further_sources: tuple[Path, ...] = ()
    """What was taken in beside `source`: more folders, photos and videos of the same person."""

    @property
    def is_calibrated(self) -> bool:
        """Whether every usable view has a known camera."""
        cameras = [view.camera for view in self.views if view.status == "ok"]
        return bool(cameras) and all(camera is not None for camera in cameras)

    @property
    def is_mixed(self) -> bool:
        """Whether there are usable views with known cameras and others without."""
        known = {view.camera is not None for view in self.views if view.status == "ok"}
        return len(known) == 2


@dataclasses.dataclass(frozen=True, eq=False)
class Detection:
    """Landmarks of the chosen face of one view."""

    view_name: str
    scheme: str
    landmarks_px: np.ndarray
    """(478, 2) float32 pixels, centres at +0.5."""
    num_faces: int
    """Faces found in the picture; more than one gives the view the status `several_faces`."""
    jitter_px: float = math.nan
    """Median disagreement of the landmarks between the crops that were averaged, pixels; nan where one pass stands alone."""
    detector: str = "bundled"
    """Which mesh found them: "bundled" or "tasks" (recon/face_mesh.py)."""
    other_landmarks_px: tuple[np.ndarray, ...] = ()
    """(478, 2) float32 each, of the picture's other faces that are large enough to be the person's, the largest first."""

    @property
    def box_px(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) around the landmarks, pixels."""
        (x0, y0), (x1, y1) = self.landmarks_px.min(0), self.landmarks_px.max(0)
        return float(x0), float(y0), float(x1), float(y1)

    @property
    def face_size_px(self) -> float:
        """Longer side of the box around the landmarks."""
        x0, y0, x1, y1 = self.box_px
        return max(x1 - x0, y1 - y0)
