"""Wavefront OBJ with its .mtl and .png: `v` lines in the head's vertex order, `vt` with the origin bottom-left."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from assets.head_model import PARTS
from render.mesh import Mesh, vertex_normals


def write_obj(path: Path, mesh: Mesh, albedo_srgb: np.ndarray, *, comment: str, normal_map: np.ndarray | None = None) -> None:
    """Write `path`, `<stem>.mtl`, `<stem>.png` and, with a normal map, `<stem>_normal.png`.

    Triangles are grouped by part (`g skin`, `g eye_left`, ...). `comment` is the first line: frame, axes and scale.
    """
    material = write_material(path.with_suffix(".mtl"), albedo_srgb, normal_map)
    path.write_text(obj_text(mesh.vertices, mesh.triangles, shared_lines(mesh), material.name, comment), encoding="utf-8")


def write_material(path: Path, albedo_srgb: np.ndarray, normal_map: np.ndarray | None = None) -> Path:
    """Write a .mtl with the material `head` and its pictures beside it; returns the path.

    The normal map is stated as `norm`, the word of the physically based extension: `map_Bump` would be taken for heights.
    """
    texture = path.with_suffix(".png")
    Image.fromarray(np.ascontiguousarray(albedo_srgb)).save(texture)
    lines = ["newmtl head", "Ka 0 0 0", "Kd 1 1 1", "Ks 0.04 0.04 0.04", "Ns 20", "illum 2", f"map_Kd {texture.name}"]
    if normal_map is not None:
        normal_picture = path.with_name(f"{path.stem}_normal.png")
        Image.fromarray(np.ascontiguousarray(normal_map)).save(normal_picture)
        lines.append(f"norm {normal_picture.name}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def shared_lines(mesh: Mesh) -> tuple[str, str]:
    """Texture coordinates and faces as text: what all the files of a sequence have in common."""
    return "\n".join(_rows("vt", mesh.uvs)), "\n".join(_faces(mesh))


def obj_text(vertices: np.ndarray, triangles: np.ndarray, shared: tuple[str, str], material: str, comment: str) -> str:
    """An OBJ file of vertices (V, 3) and what is `shared`; numbers have nine digits, so that float32 survives the text."""
    lines = [f"# {comment}", f"mtllib {material}", "o head", *_rows("v", vertices), shared[0]]
    lines += [*_rows("vn", vertex_normals(vertices, triangles)), "usemtl head", shared[1]]
    return "\n".join(lines) + "\n"


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
