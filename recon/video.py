"""Key frames of a video: well spread over time and head turn, and sharp; and frames written as a video. The only file that imports av."""

from __future__ import annotations

import dataclasses
import functools
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from assets.atomic import written_beside
from assets.errors import InputError, MissingPackageError, RangeError
from recon.capture import CaptureSettings, View
from recon.photo import GREY_REASON, is_grey
from recon.sharpness import MIN_FINE_DETAIL, face_grey, fine_detail

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi"})

SMALL_SIDE_PX = 640
"""Candidates are looked at at this size."""

# Distances for choosing key frames: one unit of difference is this much head turn, or this share of the clip.
_YAW_UNIT_DEG, _TIME_UNIT = 15.0, 0.15

_SEEK_GAP = 60
"""Frames further apart than this are reached by seeking, nearer ones by decoding on."""

MAX_KEPT_FRAMES = 128
"""Decoded frames that are kept in memory, as PNG bytes."""

_encoded: OrderedDict[tuple[Path, int, int], np.ndarray] = OrderedDict()


@dataclasses.dataclass(frozen=True)
class VideoTimes:
    """When the frames of a video are shown, found without decoding; variable frame rates need nothing special."""

    pts: tuple[int, ...]
    """Presentation times in units of `time_base_s`, rising: frame i is the one with pts[i]."""
    time_base_s: float

    def seconds(self, frame_index: int) -> float:
        """Time of a frame after the first."""
        return (self.pts[frame_index] - self.pts[0]) * self.time_base_s


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A frame that may become a key frame."""

    frame_index: int
    time: float
    """Share of the clip, 0 to 1."""
    yaw_deg: float
    """Rough head turn; nan where no face was found."""
    sharpness: float
    """`fine_detail` of the face, or of the picture where none was found."""
    is_grey: bool = False


def probe_video(path: Path) -> VideoTimes:
    """Presentation times of all frames. Raises InputError for a file that is no video, or has no frames."""
    with _open(path) as container:
        stream = container.streams.video[0]
        pts = sorted({packet.pts for packet in container.demux(stream) if packet.pts is not None and packet.size and not packet.is_discard})
        if not pts:
            raise _no_frames(path)
        return VideoTimes(tuple(pts), float(stream.time_base))


def read_frames(path: Path, frame_indices: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """(frame index, (H, W, 3) uint8 RGB) in rising order, turned as the file's rotation says; damaged frames are left out."""
    times = _times(path, path.stat().st_mtime_ns)
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for run in _runs(sorted(set(frame_indices))):
            wanted = {times.pts[index]: index for index in run}
            container.seek(times.pts[run[0]], stream=stream, backward=True)
            for frame in _decode(container, stream):
                if frame.pts in wanted:
                    yield wanted[frame.pts], _pixels(frame)
                if frame.pts is not None and frame.pts >= times.pts[run[-1]]:
                    break


def read_frame(path: Path, frame_index: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB of one frame; the same pixels every time. Raises InputError where it cannot be decoded."""
    encoded = _encoded_frames(path, [frame_index])
    if not encoded:
        raise InputError(expected=f"frame {frame_index} of {path}", got="a frame that cannot be decoded", do="re-encode the video")
    return cv2.imdecode(encoded[frame_index], cv2.IMREAD_COLOR)[..., ::-1].copy()


def keyframe_views(path: Path, settings: CaptureSettings) -> tuple[list[View], list[str]]:
    """Views of the chosen key frames in time order, and notes for the user. Raises InputError for an unusable video."""
    times = probe_video(path)
    candidates, (width, height) = _candidates(path, times, settings)
    if not candidates:
        raise _no_frames(path)
    notes = []
    if width * height > settings.max_megapixels * 1e6 or min(width, height) < settings.min_side_px:
        raise InputError(expected="a video of ordinary size", got=f"{path}: {width}x{height}", do="scale the video first")
    chosen = choose_keyframes(candidates, settings.num_keyframes)
    _encoded_frames(path, [candidate.frame_index for candidate in chosen])  # One pass now, instead of a seek for each later.
    notes.append(
        f"{path.name}: {len(chosen)} key frames chosen out of {len(times.pts)} frames in {times.seconds(len(times.pts) - 1):.1f} s"
    )
    views = [
        View(
            name=f"{path.name}#{candidate.frame_index:06d}",
            path=path,
            frame_index=candidate.frame_index,
            timestamp_s=times.seconds(candidate.frame_index),
            width=width,
            height=height,
            sharpness=candidate.sharpness,
            is_grey=candidate.is_grey,
            reason=GREY_REASON if candidate.is_grey else "",
        )
        for candidate in chosen
    ]
    return views, notes


def choose_keyframes(candidates: list[Candidate], num_keyframes: int) -> list[Candidate]:
    """Spread over head turn and time with a liking for sharp ones, in time order.

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


def _farthest_points(candidates: list[Candidate], number: int) -> list[Candidate]:
    if not candidates or number < 1:
        return []
    yaw = np.nan_to_num(np.array([candidate.yaw_deg for candidate in candidates]), nan=90.0)
    places = np.column_stack([yaw / _YAW_UNIT_DEG, np.array([candidate.time for candidate in candidates]) / _TIME_UNIT])
    sharpness = np.array([max(candidate.sharpness, 1e-6) for candidate in candidates])
    liking = np.sqrt(sharpness / sharpness.max())
    chosen = [int(np.argmax(liking * np.exp(-np.abs(yaw) / 30)))]
    distance = np.linalg.norm(places - places[chosen[0]], axis=1)
    while len(chosen) < min(number, len(candidates)):
        chosen.append(int(np.argmax(np.where(distance > 0, distance * liking, -1))))
        distance = np.minimum(distance, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return [candidates[index] for index in chosen]


def _candidates(path: Path, times: VideoTimes, settings: CaptureSettings) -> tuple[list[Candidate], tuple[int, int]]:
    """Frames evenly spread over time, looked at in a small copy; and (width, height) of the video after rotation."""
    # Detection lies to the right of video in the flow, and imports ingest, so it is imported when it is needed.
    from recon.detect import find_faces

    number = len(times.pts)
    indices = sorted({round(i) for i in np.linspace(0, number - 1, min(settings.max_candidates, number))})
    found, size = [], (0, 0)
    for index, image in read_frames(path, indices):
        size = (image.shape[1], image.shape[0])
        scale = min(SMALL_SIDE_PX / max(size), 1.0)
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        faces = find_faces(small)
        box = None
        if faces:
            low, high = faces[0].landmarks[:, :2].min(0) / scale, faces[0].landmarks[:, :2].max(0) / scale
            box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        yaw_deg = faces[0].yaw_deg if faces else float("nan")
        found.append(Candidate(index, index / max(number - 1, 1), yaw_deg, fine_detail(face_grey(image, box)), is_grey(small)))
    return found, size


def _runs(indices: list[int]) -> Iterator[list[int]]:
    """Indices cut where the gap is wide enough that seeking is cheaper than decoding on."""
    run: list[int] = []
    for index in indices:
        if run and index - run[-1] > _SEEK_GAP:
            yield run
            run = []
        run.append(index)
    if run:
        yield run


@functools.lru_cache(maxsize=64)
def _times(path: Path, mtime_ns: int) -> VideoTimes:
    return probe_video(path)


def _encoded_frames(path: Path, frame_indices: list[int]) -> dict[int, np.ndarray]:
    """Decoded frames as PNG bytes, without loss and a tenth of the memory; the last ones are kept, absent ones are damaged."""
    keys = {index: (path, path.stat().st_mtime_ns, index) for index in frame_indices}
    absent = [index for index, key in keys.items() if key not in _encoded]
    for index, image in read_frames(path, absent) if absent else ():
        _encoded[keys[index]] = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
    found = {index: _encoded[key] for index, key in keys.items() if key in _encoded}
    while len(_encoded) > MAX_KEPT_FRAMES:
        _encoded.popitem(last=False)
    return found


def _decode(container: Any, stream: Any) -> Iterator[Any]:
    """Frames until the end or until the file is damaged."""
    from av import error

    try:
        yield from container.decode(stream)
    except (error.InvalidDataError, error.EOFError):
        return


def _pixels(frame: Any) -> np.ndarray:
    """(H, W, 3) uint8 RGB turned upright; `rotation` is counter-clockwise, in steps of 90 degrees."""
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4))


def write_video(path: Path, frames: Iterable[np.ndarray], *, fps: int, crf: int = 23) -> None:
    """Write (H, W, 3) uint8 sRGB frames of one even size as an H.264 MP4; beside the target first, then renamed.

    `crf` is x264's quality, 18 (hardly a loss) to 28 (small). One encoder thread keeps the bytes the same from run to run.
    Raises RangeError without frames.
    """
    av = _av()
    with written_beside(path) as beside, av.open(str(beside), "w") as container:
        stream = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "slow", "threads": "1"})
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        if stream is None:
            raise RangeError(expected="at least one frame for a video", got=f"none for {path}", do="give frames")
        container.mux(stream.encode())


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingPackageError(expected="the package av (PyAV)", got=str(error), do="pip install av") from error
    return av


def _open(path: Path) -> Any:
    av = _av()
    from av import error as av_error
    from av import logging as av_logging

    av_logging.set_level(None)
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(
            expected="a video with at least one frame",
            got=f"{path}, an empty file (0 bytes)",
            do="copy it from the camera again, since copying broke off, or record it again",
        )
    try:
        container = av.open(str(path))
    except (av_error.FFmpegError, OSError, ValueError) as error:
        raise InputError(expected="a video that FFmpeg can read", got=f"{path}: {error}", do="convert it to MP4 (H.264)") from error
    if not container.streams.video:
        container.close()
        raise _no_frames(path)
    return container


def _no_frames(path: Path) -> InputError:
    return InputError(
        expected="a video with at least one frame",
        got=f"{path}, which has no video frames",
        do="record it again, or give a folder of photos",
    )
