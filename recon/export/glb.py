"""glTF 2.0 binary: the textured head with ARKit's 52 blendshapes as named morph targets.

glTF's frame is the head frame's (metres, +Y up, +Z front), so positions pass unchanged; its texture origin is top-left, so v is
flipped here and nowhere else. Normals of morph targets are left to the viewer. Format: Khronos, glTF 2.0, sections 3 and 4.
"""

from __future__ import annotations

import dataclasses
import io
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from assets.blendshapes import ARKIT_BLENDSHAPES, weights_to_vector
from recon.avatar import Avatar
from render.mesh import Mesh, vertex_normals

FLOAT, UNSIGNED_INT = 5126, 5125
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963


def write_glb(
    path: Path,
    avatar: Avatar,
    *,
    frame: Literal["head", "world"] = "head",
    weights: Mapping[str, float] | None = None,
    with_blendshapes: bool = True,
    view: str | None = None,
) -> None:
    """Write one mesh with one primitive; shapes that the head lacks stay as zero targets, so that there are always 52.

    With blendshapes the base is the neutral and `weights` become the mesh's default morph weights; without, they are baked in.
    A `view`'s expression has a correction that no shape carries, so it is only ever baked in.
    """
    mesh = avatar.mesh(None if with_blendshapes else weights, frame, view=view)
    builder = _Builder()
    split = _split_corners(mesh)
    primitive = _primitive(builder, mesh, split)
    # A FLAME head's name holds the path of the user's file, which is nobody else's business.
    gltf_mesh: dict[str, Any] = {"name": avatar.head.name.split(":")[0], "primitives": [primitive]}
    if with_blendshapes:
        rotation = np.eye(3) if frame == "head" else avatar.T_world_head[:3, :3]
        primitive["targets"] = _targets(builder, avatar.blendshape_deltas @ rotation.T, split.vertex)
        gltf_mesh["weights"] = [float(weight) for weight in weights_to_vector(weights or {})]
        gltf_mesh["extras"] = {"targetNames": list(ARKIT_BLENDSHAPES)}
    path.write_bytes(builder.finish(_document(builder, gltf_mesh, avatar)))


@dataclasses.dataclass(frozen=True, eq=False)
class _Split:
    """Vertices with one uv each, which is what glTF wants: a vertex on a uv seam becomes several."""

    vertex: np.ndarray
    """(N,) int head vertex of each glTF vertex."""
    uv: np.ndarray
    """(N,) int uv of each glTF vertex."""
    triangles: np.ndarray
    """(F, 3) int into the glTF vertices."""


def _split_corners(mesh: Mesh) -> _Split:
    corners = np.stack([mesh.triangles.ravel(), mesh.triangle_uvs.ravel()], axis=1)
    unique, index = np.unique(corners, axis=0, return_inverse=True)
    return _Split(unique[:, 0], unique[:, 1], index.reshape(-1, 3))


class _Builder:
    """Collects the binary chunk and the bufferViews and accessors that describe it."""

    def __init__(self) -> None:
        self.binary = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add_bytes(self, data: bytes, target: int | None = None) -> int:
        """Append data at a multiple of four bytes; returns the bufferView's index."""
        self.binary += b"\0" * (-len(self.binary) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)}
        self.views.append(view if target is None else {**view, "target": target})
        self.binary += data
        return len(self.views) - 1

    def add_vectors(self, values: np.ndarray, *, bounds: bool) -> int:
        """(N, 2|3) float32 as a vertex attribute; returns the accessor's index. POSITION must state its bounds."""
        data = np.ascontiguousarray(values, "<f4")
        accessor = {
            "bufferView": self.add_bytes(data.tobytes(), ARRAY_BUFFER),
            "componentType": FLOAT,
            "count": len(data),
            "type": f"VEC{data.shape[1]}",
        }
        if bounds:
            accessor |= {"min": data.min(0).tolist(), "max": data.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_indices(self, triangles: np.ndarray) -> int:
        data = np.ascontiguousarray(triangles.ravel(), "<u4")
        view = self.add_bytes(data.tobytes(), ELEMENT_ARRAY_BUFFER)
        self.accessors.append({"bufferView": view, "componentType": UNSIGNED_INT, "count": len(data), "type": "SCALAR"})
        return len(self.accessors) - 1

    def finish(self, document: dict[str, Any]) -> bytes:
        """The GLB: header, JSON chunk padded with spaces, binary chunk padded with zeros."""
        self.binary += b"\0" * (-len(self.binary) % 4)
        document["buffers"] = [{"byteLength": len(self.binary)}]
        text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode("utf-8")
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(self.binary), b"BIN\0") + bytes(self.binary)
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _primitive(builder: _Builder, mesh: Mesh, split: _Split) -> dict[str, Any]:
    normals = vertex_normals(mesh.vertices, mesh.triangles)
    uvs = mesh.uvs[split.uv] * (1, -1) + (0, 1)
    return {
        "attributes": {
            "POSITION": builder.add_vectors(mesh.vertices[split.vertex], bounds=True),
            "NORMAL": builder.add_vectors(_unit(normals)[split.vertex], bounds=False),
            "TEXCOORD_0": builder.add_vectors(uvs, bounds=False),
        },
        "indices": builder.add_indices(split.triangles),
        "material": 0,
        "mode": 4,
    }


def _unit(normals: np.ndarray) -> np.ndarray:
    """Unit normals; a vertex without a normal (in no triangle, or in degenerate ones only) gets +Z, since glTF allows no zero."""
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 0, normals / np.maximum(length, 1e-30), (0.0, 0.0, 1.0))


def _targets(builder: _Builder, deltas: np.ndarray, vertex: np.ndarray) -> list[dict[str, int]]:
    """One target a shape, in ARKIT_BLENDSHAPES' order; all shapes that move nothing share one accessor of zeros."""
    targets, zero = [], None
    for delta in deltas:
        if delta.any():
            targets.append({"POSITION": builder.add_vectors(delta[vertex], bounds=True)})
        else:
            zero = builder.add_vectors(delta[vertex], bounds=True) if zero is None else zero
            targets.append({"POSITION": zero})
    return targets


def _document(builder: _Builder, mesh: dict[str, Any], avatar: Avatar) -> dict[str, Any]:
    png = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(avatar.albedo_srgb)).save(png, "PNG")
    image = builder.add_bytes(png.getvalue())
    shading = {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 0.6}
    return {
        "asset": {"version": "2.0", "generator": "recon", "copyright": f"head model: {avatar.head.licence}"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "head"}],
        "meshes": [mesh],
        "materials": [{"name": "head", "pbrMetallicRoughness": shading}],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "images": [{"bufferView": image, "mimeType": "image/png", "name": "albedo"}],
        "bufferViews": builder.views,
        "accessors": builder.accessors,
    }
