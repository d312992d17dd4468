"""Key frames of a video: well spread over head pose, expression and time, and sharp."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import cv2
import numpy as np

from assets.counting import how_many
from assets.errors import InputError
from recon.capture import CaptureSettings, View
from recon.photo import GREY_REASON, is_grey
from recon.sharpness import MIN_FINE_DETAIL, face_grey, fine_detail
from recon.video import VideoInfo, kept_frames, no_frames, probe_video, read_frames

SMALL_SIDE_PX = 640
"""Candidates are looked at at this size."""

# Distances for choosing key frames: one unit of difference is this much head turn or nod, or this share of the clip.
_ANGLE_UNIT_DEG, _TIME_UNIT = 15.0, 0.15

_EXPRESSION_UNITS = np.array([0.21, 0.075, 0.075, 0.04])
"""One unit of each of `expression_measures`: half of what the full ARKit shape (jawOpen, mouthSmile, browInnerUp with browOuterUp) does to
it on the built-in heads; of the lids, all that eyeBlink does, because closed eyes tell least of a face."""

_NEAR_YAW_DEG = 10.0
"""Expressions are taken against the middle of the frames so near in yaw, since the mesh sits elsewhere from each side."""

_TELLING_YAW_DEG = (30.0, 50.0)
"""Up to the first yaw an expression counts in full, from the second not at all: half of a face from aside is guessed."""

_CUT_OFF_SHARE = 0.05
"""A video that ends this share of its stated length too early was cut off; less is how files round."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A frame that may become a key frame."""

    frame_index: int
    time: float
    """Share of the clip's seconds, 0 to 1."""
    yaw_deg: float
    """Rough head turn; nan where no face was found."""
    sharpness: float
    """`fine_detail` of the face, or of the picture where none was found."""
    is_grey: bool = False
    pitch_deg: float = 0.0
    """Rough nod, up to a constant of the mesh; positive where the face looks up as the camera sees it."""
    expression: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """`expression_measures` of the face; zeros where none was found."""


def keyframe_views(path: Path, settings: CaptureSettings) -> tuple[list[View], list[str]]:
    """Views of the chosen key frames in time order, and notes for the user. Raises InputError for an unusable video."""
    video = probe_video(path)
    if math.prod(video.size_px) > settings.max_megapixels * 1e6 or min(video.size_px) < settings.min_side_px:
        raise InputError(
            expected=f"a video of {settings.min_side_px} px or more on the shorter side and at most {settings.max_megapixels:g} Mpx",
            got=f"{path}: {video.size_px[0]}x{video.size_px[1]}",
            do="scale the video first, or set --capture.max-megapixels and --capture.min-side-px",
        )
    asked, complaints = spread_indices(video, settings.max_candidates), list[str]()
    candidates, (width, height) = _candidates(path, video, asked, complaints)
    if not candidates:
        raise no_frames(path)
    chosen = choose_keyframes(candidates, settings.num_keyframes)
    kept_frames(path, [candidate.frame_index for candidate in chosen])  # One pass now, instead of a seek for each later.
    seconds = video.seconds(len(video.pts) - 1)
    notes = [f"{path.name}: {how_many(len(chosen), 'key frame')} chosen out of {how_many(len(video.pts), 'frame')} in {seconds:.1f} s"]
    notes += damage_notes(path.name, video, len(asked), [candidate.frame_index for candidate in candidates], complaints)
    views = [
        View(
            name=f"{path.name}#{candidate.frame_index:06d}",
            path=path,
            frame_index=candidate.frame_index,
            timestamp_s=video.seconds(candidate.frame_index),
            width=width,
            height=height,
            sharpness=candidate.sharpness,
            is_grey=candidate.is_grey,
            reason=GREY_REASON if candidate.is_grey else "",
        )
        for candidate in chosen
    ]
    return views, notes


def spread_indices(video: VideoInfo, number: int) -> list[int]:
    """Indices of at most `number` frames that lie evenly in seconds, rising; fewer where the video rests on one frame for long."""
    if len(video.pts) <= number:
        return list(range(len(video.pts)))
    pts = np.array(video.pts, np.float64)
    return np.unique(np.abs(np.linspace(pts[0], pts[-1], number)[:, None] - pts).argmin(1)).tolist()


def damage_notes(name: str, video: VideoInfo, num_asked: int, decoded: list[int], complaints: list[str]) -> list[str]:
    """What to tell of a file of which the decoder complained, or that ends long before it says: how much of it was there."""
    last_s, is_cut_off = video.seconds(max(decoded)), video.stated_s - video.end_s > _CUT_OFF_SHARE * video.stated_s
    if not is_cut_off and not complaints:
        return []
    stated = f"; the last one lies at {last_s:.1f} s" + (f" of {video.stated_s:.1f} s" if video.stated_s > last_s else "")
    return [
        f"{name} is damaged or was cut off: {len(decoded)} of {how_many(num_asked, 'frame')} looked at could be decoded{stated}. "
        "Copy it from the camera again if the rest is wanted"
    ]


def choose_keyframes(candidates: list[Candidate], num_keyframes: int) -> list[Candidate]:
    """Spread over head pose, expression and time with a liking for sharp ones, in time order.

    Farthest-point choice: start at the sharpest frame that looks about straight ahead, then always add the frame whose
    distance to the chosen ones, times its sharpness among the others, is largest. Frames without a face (profiles, which may be
    registered later) stand 90 degrees off and get a fifth of the places at most; blurred frames come only where there are
    no others.
    """
    sharp = [candidate for candidate in candidates if candidate.sharpness >= MIN_FINE_DETAIL] or candidates
    if not any(np.isfinite(candidate.yaw_deg) for candidate in sharp):
        sharp = candidates
    faces = [candidate for candidate in sharp if np.isfinite(candidate.yaw_deg)]
    faceless = [candidate for candidate in sharp if not np.isfinite(candidate.yaw_deg)]
    places_faceless = min(len(faceless), max(num_keyframes // 5, num_keyframes - len(faces)))
    chosen = _farthest_points(faces, num_keyframes - places_faceless) + _farthest_points(faceless, places_faceless)
    return sorted(chosen, key=lambda candidate: candidate.frame_index)


def expression_measures(landmarks: np.ndarray) -> tuple[float, float, float, float]:
    """Opening and width of the mouth, opening of the eyes and height of the brows over them, as shares of the eyes' outer distance.

    Distances in space between points of mediapipe478 (478, 3), whose z has the unit of x and y, so that they change little as the head
    turns. Right and left are averaged.
    """

    def distance(first: int, second: int) -> float:
        return float(np.linalg.norm(landmarks[first] - landmarks[second]))

    def brow_height(brow: int, outer: int, inner: int) -> float:
        return float(np.linalg.norm(landmarks[brow] - (landmarks[outer] + landmarks[inner]) / 2))

    eyes = (distance(159, 145) + distance(386, 374)) / 2
    brows = (brow_height(105, 33, 133) + brow_height(334, 263, 362)) / 2
    mouth_opening, mouth_width, eye_opening, brow = np.array([distance(13, 14), distance(61, 291), eyes, brows]) / distance(33, 263)
    return float(mouth_opening), float(mouth_width), float(eye_opening), float(brow)


def rough_pitch_deg(landmarks: np.ndarray) -> float:
    """Nod of a face (478, 3) of mediapipe478, from the bridge to below the nose, which no expression moves; positive: it looks up."""
    # Pixels have y down and z away from the camera, so across times down points out of the face's back.
    back = np.cross(landmarks[263] - landmarks[33], landmarks[2] - landmarks[168])
    return float(np.degrees(np.arcsin(back[1] / max(np.linalg.norm(back), 1e-9))))


def _farthest_points(candidates: list[Candidate], number: int) -> list[Candidate]:
    if not candidates or number < 1:
        return []
    yaw = np.nan_to_num(np.array([candidate.yaw_deg for candidate in candidates]), nan=90.0)
    angles = np.column_stack([yaw, [candidate.pitch_deg for candidate in candidates]]) / _ANGLE_UNIT_DEG
    times = np.array([candidate.time for candidate in candidates]) / _TIME_UNIT
    places = np.column_stack([angles, times, _expression_places(np.array([candidate.expression for candidate in candidates]), yaw)])
    sharpness = np.array([max(candidate.sharpness, 1e-6) for candidate in candidates])
    liking = np.sqrt(sharpness / sharpness.max())
    chosen = [int(np.argmax(liking * np.exp(-np.abs(yaw) / 30)))]
    distance = np.linalg.norm(places - places[chosen[0]], axis=1)
    while len(chosen) < min(number, len(candidates)):
        chosen.append(int(np.argmax(np.where(distance > 0, distance * liking, -1))))
        distance = np.minimum(distance, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return [candidates[index] for index in chosen]


def _expression_places(measures: np.ndarray, yaw_deg: np.ndarray) -> np.ndarray:
    """(N, 4) in units of distance: how each face differs from those from about the same side, less the further it looks aside."""
    near = np.abs(yaw_deg[:, None] - yaw_deg) <= _NEAR_YAW_DEG
    middle = np.array([np.median(measures[row], axis=0) for row in near])
    telling = np.interp(np.abs(yaw_deg), _TELLING_YAW_DEG, (1.0, 0.0))
    return telling[:, None] * (measures - middle) / _EXPRESSION_UNITS


def _candidates(path: Path, video: VideoInfo, indices: list[int], complaints: list[str]) -> tuple[list[Candidate], tuple[int, int]]:
    """What the frames that decode show, looked at in a small copy; and (width, height) of the video after rotation."""
    # Detection lies to the right of key frames in the flow, and imports ingest, so it is imported when it is needed.
    from recon.detect import find_faces

    found, size = [], (0, 0)
    duration = max(video.seconds(len(video.pts) - 1), video.time_base_s)
    for index, image in read_frames(path, indices, complaints=complaints):
        size = (image.shape[1], image.shape[0])
        scale = min(SMALL_SIDE_PX / max(size), 1.0)
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        faces, time = find_faces(small), video.seconds(index) / duration
        if not faces:
            found.append(Candidate(index, time, float("nan"), fine_detail(face_grey(image, None)), is_grey(small)))
            continue
        points = faces[0].landmarks
        low, high = points[:, :2].min(0) / scale, points[:, :2].max(0) / scale
        sharpness = fine_detail(face_grey(image, (float(low[0]), float(low[1]), float(high[0]), float(high[1]))))
        pose = {"yaw_deg": faces[0].yaw_deg, "pitch_deg": rough_pitch_deg(points)}
        found.append(Candidate(index, time, sharpness=sharpness, is_grey=is_grey(small), expression=expression_measures(points), **pose))
    return found, size
