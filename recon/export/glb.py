"""glTF 2.0 binary: the textured head with ARKit's 52 blendshapes as named morph targets, their normals with them.

glTF's frame is the head frame's (metres, +Y up, +Z front), so positions pass unchanged; its texture origin is top-left, so v is
flipped here and nowhere else. Format: Khronos, glTF 2.0 specification, sections 3.7 (meshes, morph targets) and 5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES, weights_to_vector
from recon.avatar import Avatar
from recon.export.glb_buffers import GlbBuffers
from recon.export.glb_materials import MATERIALS, PartMaterial, add_materials, has_normal_map
from recon.export.tangents import vertex_tangents
from render.mesh import Mesh, vertex_normals

STILL_M, STILL_NORMAL = 1e-6, 1e-3
"""A morph target leaves out displacements shorter than a micrometre and turns of a normal by less than 0.06 degrees, which nobody sees:
with the fine noise of scan-based shapes a file would be twice as large."""


def write_glb(
    path: Path,
    avatar: Avatar,
    *,
    frame: Literal["head", "world"] = "head",
    weights: Mapping[str, float] | None = None,
    with_blendshapes: bool = True,
    view: str | None = None,
) -> None:
    """Write one mesh with a primitive for each material; shapes that the head lacks stay as zero targets, so there are always 52.

    With blendshapes the base is the neutral and `weights` become the mesh's default morph weights; without, they are baked in.
    A `view`'s expression has a correction that no shape carries, so it is only ever baked in.
    """
    mesh = avatar.mesh(None if with_blendshapes else weights, frame, view=view)
    buffers = GlbBuffers()
    used = [material for material in MATERIALS if material.triangles(mesh.triangle_parts).any()]
    splits = [_split_corners(mesh, material) for material in used]
    normals = _unit(vertex_normals(mesh.vertices, mesh.triangles))
    primitives = [
        _primitive(buffers, mesh, normals, split, with_tangents=has_normal_map(avatar, material)) | {"material": index}
        for index, (material, split) in enumerate(zip(used, splits, strict=True))
    ]
    # A FLAME head's name holds the path of the user's file, which is nobody else's business.
    gltf_mesh: dict[str, Any] = {"name": avatar.head.name.split(":")[0], "primitives": primitives}
    if with_blendshapes:
        rotation = np.eye(3) if frame == "head" else avatar.T_world_head[:3, :3]
        _add_targets(buffers, primitives, splits, mesh, normals, avatar.blendshape_deltas @ rotation.T.astype(np.float32))
        gltf_mesh["weights"] = [float(weight) for weight in weights_to_vector(weights or {})]
        gltf_mesh["extras"] = _shape_extras(avatar)
    path.write_bytes(buffers.packed(_document(gltf_mesh, avatar, frame) | add_materials(buffers, avatar, used)))


@dataclasses.dataclass(frozen=True, eq=False)
class _Split:
    """One material's vertices with one uv each, which is what glTF wants: a vertex on a uv seam becomes several."""

    vertex: np.ndarray
    """(N,) int head vertex of each glTF vertex."""
    uv: np.ndarray
    """(N,) int uv of each glTF vertex."""
    triangles: np.ndarray
    """(F, 3) int into the glTF vertices."""


def _split_corners(mesh: Mesh, material: PartMaterial) -> _Split:
    chosen = material.triangles(mesh.triangle_parts)
    corners = np.stack([mesh.triangles[chosen].ravel(), mesh.triangle_uvs[chosen].ravel()], axis=1)
    unique, index = np.unique(corners, axis=0, return_inverse=True)
    return _Split(unique[:, 0], unique[:, 1], index.reshape(-1, 3))


def _primitive(buffers: GlbBuffers, mesh: Mesh, normals: np.ndarray, split: _Split, *, with_tangents: bool) -> dict[str, Any]:
    points, own_normals, uvs = mesh.vertices[split.vertex], normals[split.vertex], mesh.uvs[split.uv]
    attributes = {
        "POSITION": buffers.add_vectors(points, bounds=True),
        "NORMAL": buffers.add_vectors(own_normals),
        "TEXCOORD_0": buffers.add_vectors(uvs * (1, -1) + (0, 1)),
    }
    if with_tangents:
        attributes["TANGENT"] = buffers.add_vectors(vertex_tangents(points, own_normals, uvs, split.triangles))
    return {"attributes": attributes, "indices": buffers.add_indices(split.triangles), "mode": 4}


def _unit(normals: np.ndarray) -> np.ndarray:
    """Unit normals; a vertex without a normal (in no triangle, or in degenerate ones only) gets +Z, since glTF allows no zero."""
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 0, normals / np.maximum(length, 1e-30), (0.0, 0.0, 1.0)).astype(np.float32)


def _add_targets(
    buffers: GlbBuffers, primitives: list[dict[str, Any]], splits: list[_Split], mesh: Mesh, normals: np.ndarray, deltas: np.ndarray
) -> None:
    """Add one target a shape to every primitive, in ARKIT_BLENDSHAPES' order: displacements of positions and of normals.

    Normals are exact at weight 1 and, like positions, linear in between; without them a viewer would light a smile as the neutral.
    """
    for primitive in primitives:
        primitive["targets"] = []
    for delta in deltas:
        turned = _unit(vertex_normals(mesh.vertices + delta, mesh.triangles)) - normals if delta.any() else np.zeros_like(delta)
        for primitive, split in zip(primitives, splits, strict=True):
            displaced = buffers.add_displacements(_without_still(delta[split.vertex], STILL_M), bounds=True)
            leaning = buffers.add_displacements(_without_still(turned[split.vertex], STILL_NORMAL))
            primitive["targets"].append({"POSITION": displaced, "NORMAL": leaning})


def _without_still(values: np.ndarray, least: float) -> np.ndarray:
    """(N, 3) values, those shorter than `least` as zero."""
    return np.where(np.linalg.norm(values, axis=1, keepdims=True) < least, np.float32(0), values)


def _shape_extras(avatar: Avatar) -> dict[str, Any]:
    """`targetNames` is what Blender, three.js and others read; the rest is the avatar's own knowledge of its shapes."""
    evidence = {name: dataclasses.asdict(seen) for name, seen in avatar.shape_evidence.items()}
    expressions = {expression.name: {k: float(v) for k, v in expression.weights.items()} for expression in avatar.expressions}
    return {"targetNames": list(ARKIT_BLENDSHAPES), "shapeEvidence": evidence, "expressions": expressions}


def _document(mesh: dict[str, Any], avatar: Avatar, frame: Literal["head", "world"]) -> dict[str, Any]:
    licence = {"headModelLicence": avatar.head.licence, "commercialUse": avatar.head.commercial}
    return {
        "asset": {
            "version": "2.0",
            "generator": "recon",
            "copyright": f"head model: {avatar.head.licence}",
            "extras": licence | {"scale": avatar.scale, "frame": frame},
        },
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "head"}],
        "meshes": [mesh],
    }
