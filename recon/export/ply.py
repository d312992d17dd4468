"""Stanford PLY, binary little endian: vertices in the head's order, which is what scan-to-mesh scoring wants."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from render.mesh import Mesh


def write_ply(path: Path, mesh: Mesh) -> None:
    """Write float32 vertices (metres) and int32 triangles; PLY carries no texture here."""
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment recon avatar, metres, +Y up, +Z front\n"
        f"element vertex {len(mesh.vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(mesh.triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    faces = np.zeros(len(mesh.triangles), np.dtype([("count", "u1"), ("index", "<i4", 3)]))
    faces["count"], faces["index"] = 3, mesh.triangles
    path.write_bytes(header.encode("ascii") + mesh.vertices.astype("<f4").tobytes() + faces.tobytes())
