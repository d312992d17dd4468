"""Frames of a video by their index, also of damaged files; and frames written as a video. The only file that imports av."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from assets.atomic import written_beside
from assets.errors import InputError, MissingPackageError, RangeError

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi"})

_SEEK_GAP = 60
"""Frames further apart than this are reached by seeking, nearer ones by decoding on."""

_MAX_REORDER_FRAMES = 16
"""A key frame may be stored this many frames ahead of its turn, at most: the largest reorder depth of H.264 and HEVC. MP4 seeks by the
order of storage, so it may land on a key frame that is shown later, whose leading frames cannot be decoded without what lies before."""

MAX_KEPT_FRAMES = 128
"""Decoded frames that are kept in memory, as PNG bytes."""

_encoded: OrderedDict[tuple[Path, int, int], np.ndarray] = OrderedDict()


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a video's packets tell without decoding; variable frame rates need nothing special."""

    pts: tuple[int, ...]
    """Presentation times in units of `time_base_s`, rising: frame i is the one with pts[i]."""
    time_base_s: float
    size_px: tuple[int, int]
    """(width, height) as coded, before any rotation."""
    stated_s: float = math.nan
    """When the last picture ends as the file states it, after the first; nan where it does not. A file that was cut off ends earlier."""
    end_s: float = math.nan
    """When the last picture that is there ends, after the first; nan where unknown."""

    def seconds(self, frame_index: int) -> float:
        """Time of a frame after the first."""
        return (self.pts[frame_index] - self.pts[0]) * self.time_base_s


def probe_video(path: Path) -> VideoInfo:
    """Times of all frames, size, stated and present length.

    Raises InputError for a file that is no video, has no frames, or lacks the header without which they cannot be decoded.
    """
    with _open(path) as container:
        stream = container.streams.video[0]
        packets = _packets(container, stream, [])
        shown = (packet for packet in packets if packet.pts is not None and packet.size and not packet.is_discard)
        ends = {packet.pts: packet.pts + (packet.duration or 0) for packet in shown}
        size = (stream.codec_context.width, stream.codec_context.height)
        if not ends or 0 in size:
            raise no_frames(path)
        pts, time_base_s = tuple(sorted(ends)), float(stream.time_base)
        # Not every file says how long its last frame is shown: it counts as no shorter than its like.
        end = max(max(ends.values()), pts[-1] + _ordinary_gap(pts, stream))
        stated_s = _stated_end_s(container, stream) - pts[0] * time_base_s
        return VideoInfo(pts, time_base_s, size, stated_s, (end - pts[0]) * time_base_s)


def read_frames(path: Path, frame_indices: list[int], *, complaints: list[str] | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """(frame index, (H, W, 3) uint8 RGB) in rising order, turned as the file's rotation says; damaged frames are left out.

    A damaged frame spoils those that are drawn from it, up to the next that stands for itself. What the decoder complains of is added
    to `complaints`; a whole file gives none.
    """
    video, complaints = _video(path, path.stat().st_mtime_ns), [] if complaints is None else complaints
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for run in _runs(sorted(set(frame_indices))):
            wanted = {video.pts[index]: index for index in run}
            start = max(run[0] - _MAX_REORDER_FRAMES, 0)
            if start:  # The first frames are there already, and an AVI that lost its index seeks past them.
                container.seek(video.pts[start], stream=stream, backward=True)
            for frame in _whole_frames(container, stream, complaints):
                if frame.pts in wanted:
                    yield wanted[frame.pts], _pixels(frame)
                if frame.pts is not None and frame.pts >= video.pts[run[-1]]:
                    break


def read_frame(path: Path, frame_index: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB of one frame; the same pixels every time. Raises InputError where it cannot be decoded."""
    encoded = kept_frames(path, [frame_index])
    if not encoded:
        raise InputError(expected=f"frame {frame_index} of {path}", got="a frame that cannot be decoded", do="re-encode the video")
    return cv2.imdecode(encoded[frame_index], cv2.IMREAD_COLOR)[..., ::-1].copy()


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
def _video(path: Path, mtime_ns: int) -> VideoInfo:
    return probe_video(path)


def kept_frames(path: Path, frame_indices: list[int]) -> dict[int, np.ndarray]:
    """Decoded frames as PNG bytes, without loss and a tenth of the memory; the last ones are kept, absent ones are damaged."""
    keys = {index: (path, path.stat().st_mtime_ns, index) for index in frame_indices}
    absent = [index for index, key in keys.items() if key not in _encoded]
    for index, image in read_frames(path, absent) if absent else ():
        _encoded[keys[index]] = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
    found = {index: _encoded[key] for index, key in keys.items() if key in _encoded}
    while len(_encoded) > MAX_KEPT_FRAMES:
        _encoded.popitem(last=False)
    return found


def _packets(container: Any, stream: Any, complaints: list[str]) -> Iterator[Any]:
    """Packets until the end, or until the file is damaged beyond finding the next one."""
    from av import error as av_error

    try:
        yield from container.demux(stream)
    except av_error.FFmpegError as error:
        complaints.append(str(error.strerror))


def _whole_frames(container: Any, stream: Any, complaints: list[str]) -> Iterator[Any]:
    """Decoded frames without those that are damaged, or drawn from damaged ones."""
    from av import error as av_error

    is_spoilt = False
    for packet in _packets(container, stream, complaints):
        try:
            frames = packet.decode()
        except av_error.FFmpegError as error:
            complaints.append(str(error.strerror))
            is_spoilt = True
            continue
        for frame in frames:
            if frame.is_corrupt:
                complaints.append("a damaged picture")
            is_spoilt = frame.is_corrupt or (is_spoilt and not frame.key_frame)
            if not is_spoilt:
                yield frame


def _ordinary_gap(pts: tuple[int, ...], stream: Any) -> float:
    """Time from a frame to the next, in units of the stream's time base; of a single frame by the stated rate, 0 where there is none."""
    if len(pts) > 1:
        return float(np.median(np.diff(pts)))
    return float(1 / (stream.average_rate * stream.time_base)) if stream.average_rate else 0.0


def _stated_end_s(container: Any, stream: Any) -> float:
    """When the pictures end by the file's own word, on the clock of their times; nan where it says nothing.

    A stream's length counts from its start. Matroska states the end in a tag, or for all streams together, and counts from zero.
    """
    if stream.duration:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    try:
        hours, minutes, seconds = map(float, stream.metadata.get("DURATION", "").split(":"))
        return 3600 * hours + 60 * minutes + seconds
    except ValueError:
        return container.duration / 1e6 if container.duration else math.nan


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
        # PyAV's own text repeats the path and adds FFmpeg's error number.
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(expected="a video that FFmpeg can read", got=f"{path}: {why}", do="convert it to MP4 (H.264)") from error
    if not container.streams.video:
        container.close()
        raise no_frames(path)
    return container


def no_frames(path: Path) -> InputError:
    """The error for a video without a frame that can be decoded."""
    return InputError(
        expected="a video with at least one frame",
        got=f"{path}, which has no video frames",
        do="record it again, or give a folder of photos",
    )
