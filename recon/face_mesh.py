"""MediaPipe's face mesh, 478 points, by either of its two paths. The only file that imports mediapipe.

`bundled` is the FaceMesh whose models lie in the wheel; `tasks` is the FaceLandmarker of a `.task` file, which finds the same
478 points with a newer network and adds 52 blendshape scores. Neither keeps any memory of earlier pictures.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from assets.errors import ConventionError, InputError, MissingAssetError, MissingPackageError, RangeError, ShapeError
from assets.install import installed

DetectorName = Literal["bundled", "tasks"]

DETECTORS: tuple[DetectorName, ...] = ("bundled", "tasks")
"""Names of the two paths: the wheel's FaceMesh, and the FaceLandmarker of a `.task` file."""

NUM_LANDMARKS = 478

TASK_VARIABLE = "RECON_FACE_LANDMARKER"
"""Environment variable that names a `.task` file, before any installed one."""

INSTALL_COMMAND = "recon assets install face-landmarker --from FILE (or without --from, to download it)"

# MediaPipe writes its start-up chatter from C++ straight to file descriptor 2, and its graphs take one picture at a time.
_lock = threading.RLock()


@dataclasses.dataclass(frozen=True, eq=False)
class MeshedFace:
    """One face as the mesh network gives it."""

    landmarks: np.ndarray
    """(478, 3) float64: x and y in pixels with centres at +0.5; z in the same unit, smaller is nearer, from the face's middle."""
    blendshape_scores: Mapping[str, float] | None = None
    """The network's 51 ARKit scores in [0, 1] by name (it has no tongueOut) and `_neutral`; None from the bundled mesh."""


@dataclasses.dataclass(frozen=True)
class FaceBox:
    """One face of the full-range detector, pixels."""

    centre_px: tuple[float, float]
    side_px: float
    """Longer side."""


def run_face_mesh(image: np.ndarray, *, task: Path | None = None, min_confidence: float = 0.5, max_faces: int = 1) -> list[MeshedFace]:
    """The faces of an (H, W, 3) uint8 RGB picture, in the network's own order; an empty list where there is none.

    With `task` the FaceLandmarker of that file runs, else the mesh of the mediapipe wheel. `min_confidence` in [0, 1] is that of
    the face detector in front of the mesh. The same picture gives the same numbers, whatever was run before. Both paths give
    coordinates as shares of the picture, so that x times the width has pixel centres at +0.5. Raises MissingPackageError
    without mediapipe, MissingAssetError for a task file that is absent, InputError for one that MediaPipe does not read,
    ShapeError, ConventionError and RangeError for arguments of another kind.
    """
    _check(image, min_confidence, max_faces)
    image = np.ascontiguousarray(image)
    if task is None:
        with _quiet_lock():
            result = _bundled_mesh(min_confidence, max_faces).process(image)
        return [MeshedFace(_in_pixels(face.landmark, image)) for face in result.multi_face_landmarks or ()]
    with _quiet_lock():
        result = _landmarker(*_identity(task), min_confidence, max_faces).detect(_task_image(image))
    return [
        MeshedFace(_in_pixels(points, image), MappingProxyType({score.category_name: float(score.score) for score in scores}))
        for points, scores in zip(result.face_landmarks, result.face_blendshapes, strict=True)
    ]


def find_face_boxes(image: np.ndarray, *, min_confidence: float) -> list[FaceBox]:
    """Boxes of the wheel's full-range face detector in an (H, W, 3) uint8 RGB picture; it sees faces too small for the mesh."""
    _check(image, min_confidence, 1)
    with _quiet_lock():
        result = _face_detector(min_confidence).process(np.ascontiguousarray(image))
    height, width = image.shape[:2]
    boxes = [found.location_data.relative_bounding_box for found in result.detections or ()]
    return [
        FaceBox(((box.xmin + box.width / 2) * width, (box.ymin + box.height / 2) * height), max(box.width * width, box.height * height))
        for box in boxes
    ]


def find_task_file() -> Path | None:
    """The FaceLandmarker's `.task` file: that of $RECON_FACE_LANDMARKER, else the installed one; None where there is neither.

    Raises MissingAssetError where the variable or the install record names a file that does not exist.
    """
    named = os.environ.get(TASK_VARIABLE)
    if named:
        return _identity(Path(named).expanduser())[0]
    asset = installed("face-landmarker")
    return None if asset is None else _identity(asset.path)[0]


def task_for(detector: DetectorName) -> Path | None:
    """What `run_face_mesh` takes as `task` for a detector by name. Raises MissingAssetError where the file is not there."""
    if detector not in DETECTORS:
        raise RangeError(expected=f"a detector: {' or '.join(DETECTORS)}", got=repr(detector), do="use 'bundled', which needs no file")
    if detector == "bundled":
        return None
    task = find_task_file()
    if task is None:
        raise MissingAssetError(
            expected="MediaPipe's face_landmarker.task for the detector 'tasks'",
            got="none is installed",
            do=f"{INSTALL_COMMAND}, or set {TASK_VARIABLE} to the file, or use the detector 'bundled'",
        )
    return task


def why_not_mediapipe() -> str:
    """Empty where the detector can run, else the reason."""
    try:
        _solutions()
    except MissingPackageError as error:
        return error.got
    return ""


def _check(image: np.ndarray, min_confidence: float, max_faces: int) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ShapeError(expected="a picture (H, W, 3)", got=f"shape {image.shape}", do="give RGB without alpha")
    if image.dtype != np.uint8:
        raise ConventionError(expected="an 8-bit sRGB picture", got=f"dtype {image.dtype}", do="convert it to uint8 in 0..255")
    if not (math.isfinite(min_confidence) and 0 <= min_confidence <= 1) or max_faces < 1:
        raise RangeError(
            expected="a confidence in [0, 1] and at least one face",
            got=f"min_confidence {min_confidence}, max_faces {max_faces}",
            do="use 0.5 and 1",
        )


def _in_pixels(points: Any, image: np.ndarray) -> np.ndarray:
    """(478, 3) pixels; z has the scale of x."""
    return np.array([(p.x, p.y, p.z) for p in points]) * (image.shape[1], image.shape[0], image.shape[1])


# --- MediaPipe's objects, one of each ---------------------------------------------------------------------------------


def _mediapipe() -> Any:
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _quiet_lock():
            import mediapipe

            return mediapipe
    except ImportError as error:
        raise _no_mediapipe(error) from error


@functools.cache
def _solutions() -> Any:
    try:
        return _mediapipe().solutions
    except AttributeError as error:
        raise _no_mediapipe(error) from error


def _no_mediapipe(error: Exception) -> MissingPackageError:
    return MissingPackageError(
        expected="mediapipe 0.10.21, the last one whose wheel carries its face models",
        got=f"{type(error).__name__}: {error}",
        do="pip install mediapipe==0.10.21",
    )


@functools.cache
def _bundled_mesh(confidence: float, max_faces: int) -> Any:
    """static_image_mode keeps no memory of earlier pictures, so results do not depend on order."""
    return _solutions().face_mesh.FaceMesh(
        static_image_mode=True, max_num_faces=max_faces, refine_landmarks=True, min_detection_confidence=confidence
    )


@functools.cache
def _face_detector(confidence: float) -> Any:
    return _solutions().face_detection.FaceDetection(model_selection=1, min_detection_confidence=confidence)


def _identity(task: Path) -> tuple[Path, int, int]:
    """A task file with size and time of change: a file that is exchanged is loaded anew."""
    try:
        stat = task.stat()
        if not task.is_file():
            raise IsADirectoryError
    except OSError as error:
        raise MissingAssetError(
            expected="MediaPipe's face_landmarker.task", got=f"no such file: {task}", do=f"check the path, or {INSTALL_COMMAND}"
        ) from error
    return task, stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=8)
def _landmarker(task: Path, size: int, changed_ns: int, confidence: float, max_faces: int) -> Any:
    """The file's FaceLandmarker in image mode, which keeps no memory of earlier pictures."""
    _mediapipe()
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        # By content: MediaPipe reads paths as bytes of a locale that need not be the file system's.
        base_options=BaseOptions(model_asset_buffer=task.read_bytes()),
        output_face_blendshapes=True,
        num_faces=max_faces,
        min_face_detection_confidence=confidence,
    )
    try:
        return vision.FaceLandmarker.create_from_options(options)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            expected="MediaPipe's face_landmarker.task (3.8 MB, a zip file with four models)",
            got=f"{task}, {size} bytes, which MediaPipe does not read: {_first_line(error)}",
            do=f"fetch the file again, then {INSTALL_COMMAND}",
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _task_image(image: np.ndarray) -> Any:
    mediapipe = _mediapipe()
    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)


@contextlib.contextmanager
def _quiet_lock() -> Iterator[None]:
    """One caller at a time, with file descriptor 2 sent nowhere meanwhile; C++ logs cannot be reached otherwise."""
    with _lock:
        try:
            saved = os.dup(2)
        except OSError:
            yield
            return
        try:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
                yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
