"""Clips that tests write themselves: frames that carry their number, at any times, whole or damaged."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_clip(
    path: Path,
    frames: list[np.ndarray],
    *,
    times: list[int] | None = None,
    rate: int = 25,
    options: dict[str, str] | None = None,
    held: int | None = None,
) -> Path:
    """H.264 clip; `times` are presentation times in units of 1 / 100 s, `held` is how long the last frame is shown, in the same.

    An MP4's index stands in front, so that a cut leaves it whole.
    """
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv420p"
        stream.options = {"crf": "12", **(options or {})}
        stream.codec_context.time_base = Fraction(1, 100)
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = times[index] if times else index * 100 // rate, Fraction(1, 100)
            container.mux(stream.encode(frame))
        for packet in (last := stream.encode()):
            if held and packet is last[-1]:
                packet.duration = held
            container.mux(packet)
    return path


def level_frames(number: int, size: tuple[int, int] = (96, 128)) -> list[np.ndarray]:
    """Frames that carry their number: grey level 20 + 4 n, with a lighter top left quarter."""
    frames = []
    for index in range(number):
        frame = np.full((*size, 3), 20 + 4 * index, np.uint8)
        frame[: size[0] // 2, : size[1] // 2] += 60
        frames.append(frame)
    return frames


def noisy_frames(number: int, size: tuple[int, int] = (96, 128)) -> list[np.ndarray]:
    """Frames of noise, which fill a file evenly; each has its own."""
    return [np.random.default_rng(index).integers(0, 256, (*size, 3), dtype=np.uint8) for index in range(number)]


def number_of(image: np.ndarray) -> int:
    """The number that `level_frames` put into a frame, read in the bottom right quarter."""
    return round((float(np.median(image[-30:, -30:])) - 20) / 4)
