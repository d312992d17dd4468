"""Stanford PLY, binary little endian: vertices in the given order, which is what scan-to-mesh scoring wants."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.uncertainty import Uncertainty, heat_srgb


def write_ply(path: Path, vertices: np.ndarray, triangles: np.ndarray, *, comment: str, uncertainty: Uncertainty | None = None) -> None:
    """Write vertices (V, 3) as float32 and triangles (T, 3) as int32; PLY carries no texture here.

    `comment` is one line of ASCII in the header: frame, axes and scale. With `uncertainty` each vertex has the colour of its
    spread (recon/uncertainty.py) as `red`, `green`, `blue`, and the spread itself as `sd_mm`.
    """
    colours = "" if uncertainty is None else "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty float sd_mm\n"
    header = (
        f"ply\nformat binary_little_endian 1.0\ncomment {comment}\n"
        f"element vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n{colours}"
        f"element face {len(triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    faces = np.zeros(len(triangles), np.dtype([("count", "u1"), ("index", "<i4", 3)]))
    faces["count"], faces["index"] = 3, triangles
    path.write_bytes(header.encode("ascii") + _vertex_bytes(vertices, uncertainty) + faces.tobytes())


def _vertex_bytes(vertices: np.ndarray, uncertainty: Uncertainty | None) -> bytes:
    if uncertainty is None:
        return vertices.astype("<f4").tobytes()
    rows = np.zeros(len(vertices), np.dtype([("place", "<f4", 3), ("colour", "u1", 3), ("sd_mm", "<f4")]))
    rows["place"], rows["colour"], rows["sd_mm"] = vertices, heat_srgb(uncertainty.vertex_sd_mm), uncertainty.vertex_sd_mm
    return rows.tobytes()
