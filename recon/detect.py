"""Find the face of each view: MediaPipe's face mesh, 478 points, averaged over crops. See recon/face_mesh.py."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from assets.counting import how_many
from assets.errors import DetectionError
from assets.landmark_schemes import scheme_table
from recon.capture import USABLE_STATUSES, Capture, Detection, View
from recon.face_mesh import NUM_LANDMARKS, DetectorName, find_face_boxes, run_face_mesh, task_for, why_not_mediapipe
from recon.ingest import read_view
from recon.sharpness import MIN_FINE_DETAIL, face_grey, fine_detail

Progress = Callable[[str, int, int], None]

__all__ = [
    "CROP_SIDE_PX", "NUM_LANDMARKS", "SCHEME", "DetectSettings", "FoundFace", "detect", "detect_capture", "find_faces", "refined_landmarks",
    "why_not_mediapipe",
]  # fmt: skip

SCHEME = "mediapipe478"

CROP_SIDE_PX = 512
"""Size of the square crop that the mesh is run on again."""

# Shift (fractions of the face), size (faces) and tilt (degrees) of the crops whose landmarks are averaged: fixed numbers
# instead of random ones, spread so that no two agree in anything.
# Every other crop is mirrored, because the mesh errs differently on the two images of one face, most on turned heads.
_CROPS = (
    (-0.05, -0.03, 1.7, -5.0, False),
    (0.05, -0.05, 1.9, 4.0, True),
    (-0.02, 0.05, 2.1, 8.0, False),
    (0.03, 0.03, 1.8, -8.0, True),
)

_RETRY_CROPS = (1.6, 2.2)
"""Sizes of the crops, in boxes of the face detector, that are tried where the whole picture shows no mesh."""


@dataclasses.dataclass(frozen=True)
class DetectSettings:
    detector: DetectorName = "bundled"
    """`bundled` is the mesh of the mediapipe wheel, `tasks` that of the installed `.task` file (recon/face_mesh.py)."""
    max_faces: int = 5
    """How many faces of one picture are looked at."""
    min_confidence: float = 0.5
    """Of the face detector, on the whole picture."""
    retry_confidence: float = 0.3
    """Of the face detector where that finds nothing; the mesh must then agree with itself over several crops."""
    max_retry_jitter: float = 0.015
    """Largest disagreement between crops on the second try, as a fraction of the face's size."""
    tile_confidence: float = 0.7
    """Of the face detector on tiles of the picture, where it found nothing anywhere: an ear or a shirt passes for less."""
    min_face_px: int = 64
    """A face with a smaller box is `too_small`."""
    min_fine_detail: float = MIN_FINE_DETAIL
    """A face below is `blurred`; see recon/sharpness.py."""
    min_sharp_views: int = 3
    """Blurred views are used after all where fewer sharp ones remain than this."""


@dataclasses.dataclass(frozen=True, eq=False)
class FoundFace:
    """One face, from one pass of the mesh or averaged over crops."""

    landmarks: np.ndarray
    """(478, 3) float64: x and y in pixels with centres at +0.5; z in the same unit, smaller is nearer, from the face's middle."""
    jitter_px: float = math.nan
    """Median disagreement of the crops that were averaged; nan for a single pass."""

    @property
    def box_area(self) -> float:
        return float(np.prod(np.ptp(self.landmarks[:, :2], axis=0)))

    @property
    def yaw_deg(self) -> float:
        """Rough head turn to the subject's own left, from the model's own z at the outer eye corners (263 left, 33 right)."""
        right_to_left = self.landmarks[263] - self.landmarks[33]
        return float(np.degrees(np.arctan2(right_to_left[2], right_to_left[0])))


def detect(view: View, image: np.ndarray, settings: DetectSettings = DetectSettings()) -> Detection | None:
    """Landmarks of the largest face of an (H, W, 3) uint8 RGB picture; None where there is no face.

    A face found in the whole picture is detected again on four crops around it and the landmarks are averaged: their
    spread on the skin falls by about 7 % against one pass (19 pictures of a rig against the true surface). Raises
    MissingAssetError where the detector `tasks` has no file.
    """
    faces = find_faces(image, settings)
    if not faces:
        return None
    face = faces[0] if np.isfinite(faces[0].jitter_px) else _refined(image, faces[0], task_for(settings.detector)) or faces[0]
    points = face.landmarks[:, :2].astype(np.float32)
    others = [other.landmarks[:, :2].astype(np.float32) for other in faces[1:]]
    others = tuple(points for points in others if np.ptp(points, axis=0).max() >= settings.min_face_px)
    return Detection(view.name, SCHEME, points, len(faces), face.jitter_px, settings.detector, others)


def refined_landmarks(image: np.ndarray, landmarks_px: np.ndarray, settings: DetectSettings = DetectSettings()) -> tuple[np.ndarray, float]:
    """Landmarks (478, 2) float32 of a face found before, averaged over crops, and their disagreement in pixels.

    Where fewer than three crops show the face again, the landmarks are returned as they came, with nan.
    """
    face = FoundFace(np.column_stack([landmarks_px, np.zeros(len(landmarks_px))]).astype(np.float64))
    refined = _refined(image, face, task_for(settings.detector)) or face
    return refined.landmarks[:, :2].astype(np.float32), refined.jitter_px


def find_faces(image: np.ndarray, settings: DetectSettings = DetectSettings()) -> list[FoundFace]:
    """All faces of an (H, W, 3) uint8 RGB picture, the largest first, of equals the most central."""
    task = task_for(settings.detector)
    faces = _without_doubles(_mesh(image, task, settings.min_confidence, settings.max_faces))
    if not faces:
        faces = _second_try(image, task, settings)
    centre = np.array([image.shape[1], image.shape[0]]) / 2
    return sorted(faces, key=lambda face: (-face.box_area, float(np.linalg.norm(face.landmarks[:, :2].mean(0) - centre))))


def detect_capture(
    capture: Capture, *, settings: DetectSettings = DetectSettings(), progress: Progress | None = None
) -> tuple[Capture, dict[str, Detection]]:
    """Detect every `ok` view; returns the capture with statuses brought up to date, and detections by view name.

    Only views that go into the solve (`ok`, `several_faces`) have a detection. A view with no face keeps its place with
    status `no_face`: the solver may register it from its neighbours. Raises DetectionError where no view has a usable face,
    MissingAssetError at once where the detector `tasks` has no file, InputError where MediaPipe does not read it.
    """
    task_for(settings.detector)
    views: list[View] = []
    found: dict[str, Detection] = {}
    for index, view in enumerate(capture.views):
        if view.status == "ok":
            image = read_view(view)
            detection = detect(view, image, settings)
            view = _with_status(view, image, detection, settings)
            if detection is not None:
                found[view.name] = detection
        views.append(view)
        if progress is not None:
            progress("detect faces", index + 1, len(capture.views))
    views, notes = _use_blurred_if_needed(views, found, settings)
    used = {view.name: found[view.name] for view in views if view.status in USABLE_STATUSES}
    if not used:
        raise _nothing_found(views)
    return dataclasses.replace(capture, views=tuple(views), notes=(*capture.notes, *notes)), used


def _with_status(view: View, image: np.ndarray, detection: Detection | None, settings: DetectSettings) -> View:
    if detection is None:
        return dataclasses.replace(view, status="no_face", reason=_and(view.reason, "no face was found"))
    sharpness = fine_detail(face_grey(image, detection.box_px))
    view = dataclasses.replace(view, sharpness=sharpness)
    size = detection.face_size_px
    if size < settings.min_face_px:
        return dataclasses.replace(
            view, status="too_small", reason=f"the face is {size:.0f} px, at least {settings.min_face_px} px are needed"
        )
    if sharpness < settings.min_fine_detail:
        reason = f"the face is blurred: fine detail {sharpness:.3f}, sharp faces have more than {settings.min_fine_detail:.3f}"
        return dataclasses.replace(view, status="blurred", reason=_and(view.reason, reason))
    if detection.num_faces > 1:
        reason = f"{detection.num_faces} faces: the largest is used"
        return dataclasses.replace(view, status="several_faces", reason=_and(view.reason, reason))
    return view


def _and(first: str, second: str) -> str:
    return f"{first}; {second}" if first else second


def _use_blurred_if_needed(views: list[View], found: dict[str, Detection], settings: DetectSettings) -> tuple[list[View], list[str]]:
    """Blurred views are set aside only where enough sharp ones remain."""
    num_sharp = sum(view.status in USABLE_STATUSES for view in views)
    num_blurred = sum(view.status == "blurred" for view in views)
    if not num_blurred or num_sharp >= settings.min_sharp_views:
        return views, []
    kept = [
        dataclasses.replace(
            view, status="several_faces" if found[view.name].num_faces > 1 else "ok", reason=f"{view.reason}; used all the same"
        )
        if view.status == "blurred"
        else view
        for view in views
    ]
    return kept, [_blurred_note(num_blurred, num_sharp)]


def _blurred_note(num_blurred: int, num_sharp: int) -> str:
    used = how_many(num_blurred, "blurred picture is", "blurred pictures are")
    return f"{used} used, because there {'is' if num_sharp == 1 else 'are'} only {num_sharp} sharp: expect soft detail"


def _nothing_found(views: list[View]) -> DetectionError:
    counts = ", ".join(f"{number} {status}" for status, number in Counter(view.status for view in views).most_common())
    return DetectionError(
        expected="at least one picture with a face of 64 px or more, seen from less than about 60 degrees aside",
        got=f"{how_many(len(views), 'picture')}: {counts}",
        do="add a photo of the person from the front, in focus and in even light",
    )


# --- Faces in one picture -------------------------------------------------------------------------------------------


def _mesh(image: np.ndarray, task: Path | None, confidence: float, max_faces: int) -> list[FoundFace]:
    """One pass of the face mesh."""
    return [FoundFace(face.landmarks) for face in run_face_mesh(image, task=task, min_confidence=confidence, max_faces=max_faces)]


def _second_try(image: np.ndarray, task: Path | None, settings: DetectSettings) -> list[FoundFace]:
    """Where the whole picture shows no mesh: crops around weaker detections, then tiles, for faces small in a big picture.

    What is found must repeat itself on other crops, because at this confidence walls and shirts have faces too.
    """
    found = []
    places = [(*box, settings.retry_confidence) for box in _face_boxes(image, settings.retry_confidence)]
    for centre, side, confidence in places or [(*tile, settings.tile_confidence) for tile in _tiles(image)]:
        candidates = _mesh_on_crop(image, task, centre, side, 0.0, confidence)
        found += [face for candidate in candidates if (face := _refined(image, candidate, task)) and _is_stable(face, settings)]
    return _without_doubles(found)


def _is_stable(face: FoundFace, settings: DetectSettings) -> bool:
    return face.jitter_px <= settings.max_retry_jitter * np.ptp(face.landmarks[:, :2], axis=0).max()


def _face_boxes(image: np.ndarray, confidence: float) -> list[tuple[np.ndarray, float]]:
    """(centre (2,), side) of crops around what the full-range face detector finds, pixels."""
    boxes = find_face_boxes(image, min_confidence=confidence)
    return [(np.array(box.centre_px), scale * box.side_px) for box in boxes for scale in _RETRY_CROPS]


def _tiles(image: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """Half-size squares that overlap by half: a face a tenth of the picture becomes a fifth of a tile."""
    height, width = image.shape[:2]
    side = max(min(height, width) / 2, 2.0 * CROP_SIDE_PX / 4)
    for y in np.linspace(side / 2, height - side / 2, max(round(2 * height / side) - 1, 1)):
        for x in np.linspace(side / 2, width - side / 2, max(round(2 * width / side) - 1, 1)):
            yield np.array([x, y]), side


def _refined(image: np.ndarray, face: FoundFace, task: Path | None) -> FoundFace | None:
    """Landmarks averaged (median) over four crops around a face, with their disagreement; None unless three show the face."""
    low, high = face.landmarks[:, :2].min(0), face.landmarks[:, :2].max(0)
    size = float((high - low).max())
    passes = []
    for dx, dy, scale, tilt_deg, is_mirrored in _CROPS:
        centre = (low + high) / 2 + size * np.array([dx, dy])
        faces = _mesh_on_crop(image, task, centre, scale * size, tilt_deg, 0.3, is_mirrored=is_mirrored)
        if faces and np.linalg.norm(faces[0].landmarks[:, :2].mean(0) - face.landmarks[:, :2].mean(0)) < 0.25 * size:
            passes.append(faces[0].landmarks)
    if len(passes) < 3:
        return None
    middle = np.median(passes, axis=0)
    jitter_px = float(np.median(np.linalg.norm(np.array(passes)[..., :2] - middle[:, :2], axis=-1)))
    return FoundFace(middle, jitter_px)


def _mesh_on_crop(
    image: np.ndarray, task: Path | None, centre: np.ndarray, side: float, tilt_deg: float, confidence: float, *, is_mirrored: bool = False
) -> list[FoundFace]:
    """Faces of a tilted square crop, brought back to the picture's pixels and, from a mirrored one, to the landmarks' own side."""
    scale, tilt = CROP_SIDE_PX / side, np.radians(tilt_deg)
    linear = scale * np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    offset = CROP_SIDE_PX / 2 - linear @ centre
    # OpenCV counts pixels from their centres, so (x, y) there is (x + 0.5, y + 0.5) here.
    warp = np.column_stack([linear, offset + linear @ (0.5, 0.5) - 0.5])
    source = image
    if scale < 0.5:
        # A warp samples bilinearly; shrinking by more than two needs the smoothing first, of what the crop shows alone.
        sigma_px = 0.4 / scale
        corner, source = _around(image, centre, side * (abs(np.cos(tilt)) + abs(np.sin(tilt))) / 2 + 5 * sigma_px)
        source = cv2.GaussianBlur(source, (0, 0), sigma_px)
        warp[:, 2] += linear @ corner
    crop = cv2.warpAffine(source, warp, (CROP_SIDE_PX, CROP_SIDE_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if is_mirrored:
        crop = np.ascontiguousarray(crop[:, ::-1])
    faces = []
    for face in _mesh(crop, task, confidence, 1):
        if is_mirrored:
            face = FoundFace((face.landmarks * (-1, 1, 1) + (CROP_SIDE_PX, 0, 0))[list(scheme_table(SCHEME).mirror)])
        xy = (face.landmarks[:, :2] - offset) @ np.linalg.inv(linear).T
        faces.append(FoundFace(np.column_stack([xy, face.landmarks[:, 2] / scale])))
    return faces


def _around(image: np.ndarray, centre: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """The part of a picture within `reach` pixels of (2,) `centre` on either axis, at least a pixel, and its first pixel (2,) as (x, y)."""
    last = np.array([image.shape[1], image.shape[0]]) - 1
    low = np.clip(np.floor(centre - reach).astype(int), 0, last)
    high = np.clip(np.ceil(centre + reach).astype(int), low, last)
    return low, image[low[1] : high[1] + 1, low[0] : high[0] + 1]


def _without_doubles(faces: list[FoundFace]) -> list[FoundFace]:
    """The same face found twice is kept once, in its larger version."""
    kept: list[FoundFace] = []
    for face in sorted(faces, key=lambda face: -face.box_area):
        centre, size = face.landmarks[:, :2].mean(0), np.sqrt(face.box_area)
        if all(np.linalg.norm(centre - other.landmarks[:, :2].mean(0)) > 0.5 * max(size, np.sqrt(other.box_area)) for other in kept):
            kept.append(face)
    return kept
