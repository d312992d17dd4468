"""Wavefront OBJ with its .mtl and .png: `v` lines in the head's vertex order, `vt` with the origin bottom-left."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from assets.head_model import PARTS
from render.mesh import Mesh, vertex_normals


def write_obj(path: Path, mesh: Mesh, albedo_srgb: np.ndarray, *, comment: str) -> None:
    """Write `path`, `<stem>.mtl` and `<stem>.png`; triangles are grouped by part (`g skin`, `g eye_left`, ...).

    `comment` is the first line: frame, axes and scale. Numbers have nine significant digits, so that float32 survives the text.
    """
    material, texture = path.with_suffix(".mtl"), path.with_suffix(".png")
    Image.fromarray(np.ascontiguousarray(albedo_srgb)).save(texture)
    material.write_text(f"newmtl head\nKa 0 0 0\nKd 1 1 1\nKs 0.04 0.04 0.04\nNs 20\nillum 2\nmap_Kd {texture.name}\n", encoding="utf-8")
    lines = [f"# {comment}", f"mtllib {material.name}", "o head"]
    lines += _rows("v", mesh.vertices)
    lines += _rows("vt", mesh.uvs)
    lines += _rows("vn", vertex_normals(mesh.vertices, mesh.triangles))
    lines += ["usemtl head", *_faces(mesh)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _rows(keyword: str, values: np.ndarray) -> Iterable[str]:
    return (f"{keyword} " + " ".join(f"{x:.9g}" for x in row) for row in values.tolist())


def _faces(mesh: Mesh) -> Iterable[str]:
    """Face lines in the head's triangle order; OBJ counts from one."""
    last = -1
    corners = np.stack([mesh.triangles, mesh.triangle_uvs, mesh.triangles], axis=2) + 1
    for part, triangle in zip(mesh.triangle_parts.tolist(), corners.tolist(), strict=True):
        if part != last:
            yield f"g {PARTS[part]}"
            last = part
        yield "f " + " ".join("/".join(map(str, corner)) for corner in triangle)
