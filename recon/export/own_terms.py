"""Expressions of an avatar in the words of its head model: ICT-FaceKit's shapes, or FLAME's components and jaw."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES, vector_to_weights
from assets.errors import MissingAssetError
from assets.head_model import PARTS, REGIONS, HeadModel
from assets.heads import parse_head_name
from assets.heads.flame_arkit import read_settings
from assets.heads.flame_coefficients import fit_flame_motion
from assets.heads.flame_rig import JawRig
from assets.heads.flame_source import read_flame
from assets.heads.flame_surface import vertex_areas
from assets.heads.ict import BLINK_GAIN, RESTING_LIPS, arkit_mapping
from assets.heads.ict_source import EXPRESSIONS

EYEBALLS_TURN = "the eyeballs turn about their own centres, which no expression parameter says; those of the lids are carried"
EYE_JOINTS = "a turn of the eyeballs about their own centres, which is a pose of FLAME's eye joints and no coefficient"


@dataclasses.dataclass(frozen=True, eq=False)
class OwnMotion:
    """N expressions in a head model's own parameters."""

    names: tuple[str, ...]
    """The model's names of its E expression parameters."""
    rest: np.ndarray
    """(E,) what of them is in this project's neutral already."""
    expression: np.ndarray
    """(N, E) with the rest included."""
    jaw_rad: np.ndarray | None
    """(N, 3) rotation vectors of the jaw; None where the model has no jaw joint."""
    shown_m: np.ndarray
    """(N, V, 3) metres: what the parameters show beyond the neutral; zero where they say nothing (eyeballs)."""
    not_carried: Mapping[str, str]
    """ARKit names whose motion the parameters cannot say, or not all of it, with the reason."""


def ict_motion(head: HeadModel, weights: Sequence[np.ndarray]) -> OwnMotion:
    """ARKit weights (N, 52) as weights of upstream's 57 shapes, one to one, as `assets/data/ict_arkit.toml` has them.

    The neutral holds a trace of `mouthClose` and blinks are taken at a gain (assets/heads/ict.py): both are in the weights.
    """
    mapping = arkit_mapping()
    table = np.zeros((len(ARKIT_BLENDSHAPES), len(EXPRESSIONS)))
    for number, name in enumerate(ARKIT_BLENDSHAPES):
        for upstream in mapping["shapes"].get(name, ()):
            table[number, EXPRESSIONS.index(upstream)] = BLINK_GAIN if name.startswith("eyeBlink") else 1.0
    rest = np.zeros(len(EXPRESSIONS))
    rest[EXPRESSIONS.index("mouthClose")] = RESTING_LIPS
    rows = np.array(weights).reshape(-1, len(ARKIT_BLENDSHAPES))
    shown = [head.expression_offsets(vector_to_weights(row)) for row in rows]
    gaze = {name: EYEBALLS_TURN for name in ARKIT_BLENDSHAPES if name.startswith("eyeLook")}
    return OwnMotion(
        names=EXPRESSIONS,
        rest=rest,
        expression=rows @ table + rest,
        jaw_rad=None,
        shown_m=np.array(shown).reshape(-1, head.num_vertices, 3),
        not_carried=gaze | dict(mapping["absent"]),
    )


def flame_motion(head: HeadModel, motions: Sequence[np.ndarray]) -> OwnMotion:
    """Motions (N, V, 3) in metres, FLAME's size, as FLAME's expression coefficients and jaw by least squares over the skin.

    On a subdivided head FLAME's own vertices come first and lie within a tenth of a millimetre of FLAME's. Raises
    MissingAssetError where the file of the head's name is not there.
    """
    file = parse_head_name(head.name).file
    if file is None or not file.is_file():
        raise MissingAssetError(
            expected="FLAME's file, onto whose basis the expressions are projected", got=f"no {file}", do="put the file back"
        )
    source, settings = read_flame(file), read_settings()
    num_own = len(source.template)
    skin = head.vertex_parts[:num_own] == PARTS.index("skin")
    by_region = np.array([settings.region_weights.get(name, 0.0) for name in REGIONS])
    weights = vertex_areas(source.template, source.triangles) * by_region[head.vertex_regions[:num_own]]
    rows = np.flatnonzero(skin & (weights > 0))
    rig = JawRig(source, rows)
    found = [fit_flame_motion(rig, motion[rows].astype(float), weights[rows], settings) for motion in motions]
    shown = np.zeros((len(motions), head.num_vertices, 3))
    for index, one in enumerate(found):
        shown[index] = motions[index]
        shown[index, rows] -= one.left_over_m
    num = len(rig.expression)
    return OwnMotion(
        names=tuple(f"expression_{index + 1:03d}" for index in range(num)),
        rest=np.zeros(num),
        expression=np.array([one.expression for one in found]).reshape(-1, num),
        jaw_rad=np.array([one.jaw_rad for one in found]).reshape(-1, 3),
        shown_m=shown,
        not_carried={name: EYE_JOINTS for name in ARKIT_BLENDSHAPES if name.startswith("eyeLook")},
    )
