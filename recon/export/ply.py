"""Stanford PLY, binary little endian: vertices in the given order, which is what scan-to-mesh scoring wants."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_ply(path: Path, vertices: np.ndarray, triangles: np.ndarray, *, comment: str) -> None:
    """Write vertices (V, 3) as float32 and triangles (T, 3) as int32; PLY carries no texture here.

    `comment` is one line of ASCII in the header: frame, axes and scale.
    """
    header = (
        f"ply\nformat binary_little_endian 1.0\ncomment {comment}\n"
        f"element vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    faces = np.zeros(len(triangles), np.dtype([("count", "u1"), ("index", "<i4", 3)]))
    faces["count"], faces["index"] = 3, triangles
    path.write_bytes(header.encode("ascii") + vertices.astype("<f4").tobytes() + faces.tobytes())
