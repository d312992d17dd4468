"""Write frames as an H.264 clip."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np


def write_video(path: Path, frames: Iterable[np.ndarray], *, fps: int, crf: int = 23) -> None:
    """Write (H, W, 3) uint8 sRGB frames of one even size as MP4; beside the target first, then renamed.

    One encoder thread keeps the bytes the same from run to run.
    """
    import av

    partial = path.with_name(path.stem + ".partial.mp4")
    with av.open(str(partial), "w") as container:
        stream = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "slow", "threads": "1"})
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())
    os.replace(partial, path)
