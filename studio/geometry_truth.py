"""The fitted neutral against a capture's ground truth: `gt/neutral.ply`, and `gt/face_mask.npz` where it says what the face is."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assets.errors import ArtifactError

if TYPE_CHECKING:
    from recon.avatar import Avatar
    from recon.quality import Alignment, GeometryError

FACE_RADIUS_M = 0.09
"""Without a mask the face is what lies this near to the tip of the nose: brow to chin, cheek to cheek."""


def measure_truth(avatar: Avatar, path: Path, alignment: Alignment) -> tuple[GeometryError, int, str]:
    """The error, the number of true points behind it, and one line on how it was taken; raises ArtifactError for a broken file."""
    from recon.quality import geometry_error

    vertices, triangles = load_mesh(path)
    face, which = face_of_truth(path.parent, vertices)
    mesh = avatar.mesh(frame="world" if alignment == "none" else "head")
    error = geometry_error(mesh.vertices, mesh.triangles, vertices, triangles, mask=face, align=alignment)
    how = f"true points of the face ({which}) to the nearest point of the fitted neutral, alignment: {alignment}"
    return error, error.num_vertices, how


def load_mesh(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) float64 metres and (F, 3) int of a mesh file, vertices in the file's own order."""
    import trimesh

    try:
        mesh = trimesh.load(path, process=False)
        return np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces)  # pyright: ignore[reportAttributeAccessIssue]
    except Exception as error:
        raise ArtifactError(
            expected=f"a mesh with triangles in {path}", got=f"{type(error).__name__}: {error}", do="check the file"
        ) from error


def face_of_truth(folder: Path, vertices: np.ndarray) -> tuple[np.ndarray, str]:
    """(V,) bool, which vertices are the face, and in words where that comes from; raises ArtifactError for a broken face_mask.npz."""
    mask = np.zeros(len(vertices), bool)
    if (folder / "face_mask.npz").is_file():
        mask[_stored_face(folder / "face_mask.npz", len(vertices))] = True
        return mask, "as the capture marks it"
    tip = vertices[np.argmax(vertices[:, 2])]
    mask[np.linalg.norm(vertices - tip, axis=1) < FACE_RADIUS_M] = True
    return mask, f"within {1000 * FACE_RADIUS_M:.0f} mm of the tip of the nose"


def _stored_face(path: Path, num_vertices: int) -> np.ndarray:
    """(N,) integer indices of the face's vertices."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            face = np.asarray(stored["face"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            expected=f'vertex indices under the name "face" in {path}',
            got=f"{type(error).__name__}: {error}",
            do="check or remove the file",
        ) from error
    if not np.issubdtype(face.dtype, np.integer) or face.size == 0 or face.min() < 0 or face.max() >= num_vertices:
        raise ArtifactError(
            expected=f"vertex indices below {num_vertices} in {path}",
            got=f"{face.dtype} {face.ravel()[:4]}...",
            do="check or remove the file",
        )
    return face
