"""Where each eye looks in each picture, by the irises found in it, as angles and as the weights that pose it so."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import lsq_linear

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.head_model import PARTS
from recon.avatar import Avatar, FittedView
from recon.eyes_chart import HALF, directions_at, eye_charts
from recon.eyes_pictures import EyeSighting
from recon.moments import moment_of

SIDES = ("Left", "Right")
LIDS_M = 0.024
"""Skin so near to an eyeball's centre is its lids."""


@dataclasses.dataclass(frozen=True)
class EyeGaze:
    """The direction of one eye in one picture, relative to the head: positive yaw to the subject's own left, positive pitch up."""

    view: str
    side: int
    """0 the subject's left eye, 1 the right."""
    yaw_deg: float
    pitch_deg: float
    contrast: float
    """How clearly the iris's rim was seen (FoundIris.contrast)."""


def measured_gaze(sightings: Sequence[EyeSighting], avatar: Avatar) -> tuple[EyeGaze, ...]:
    """The gaze of each sighting's eye."""
    views = {view.name: view for view in avatar.views}
    gazes = []
    for sighting in sightings:
        x, y, z = gaze_direction(sighting, views[sighting.view])
        yaw, pitch = np.degrees(np.arctan2(x, z)), np.degrees(np.arcsin(np.clip(y, -1, 1)))
        gazes.append(EyeGaze(sighting.view, sighting.side, float(yaw), float(pitch), sighting.iris.contrast))
    return tuple(gazes)


def gaze_direction(sighting: EyeSighting, view: FittedView) -> np.ndarray:
    """(3,) unit vector in the head frame in which the eye of a sighting looks."""
    R_world_head = np.eye(3) if view.T_world_head is None else view.T_world_head[:3, :3]
    direction = R_world_head.T @ sighting.R_world_eye @ directions_at(sighting.iris.angles_rad)
    return direction / np.linalg.norm(direction)


def with_gaze(avatar: Avatar, sightings: Sequence[EyeSighting]) -> tuple[FittedView, ...]:
    """The avatar's views with `eyeLook*` weights such that its irises lie where the pictures show them.

    Views of one moment share them, by the mean of what all of them show. The lids that those shapes take along are put back where they
    were fitted, as far as blinking and opening the eye wide can. An eye that was not seen at a moment turns as the other one does; where
    neither was, the weights stay.
    """
    views = {view.name: view for view in avatar.views}
    directions: dict[tuple[bytes, ...], dict[int, list[np.ndarray]]] = {}
    for sighting in sightings:
        sides = directions.setdefault(moment_of(views[sighting.view]), {})
        sides.setdefault(sighting.side, []).append(gaze_direction(sighting, views[sighting.view]))
    return tuple(_regazed(avatar, view, directions[moment_of(view)]) if moment_of(view) in directions else view for view in avatar.views)


def _regazed(avatar: Avatar, view: FittedView, directions: Mapping[int, Sequence[np.ndarray]]) -> FittedView:
    means = {side: np.mean(seen, 0) for side, seen in directions.items()}
    found = {side: mean / np.linalg.norm(mean) for side, mean in means.items()}
    weights = dict(view.weights)
    for side in (0, 1):
        direction = found[side] if side in found else found[1 - side]
        wanted = look_weights(avatar, side, direction)
        wanted |= _lid_weights(avatar, side, weights, wanted)
        weights |= wanted
    order = [name for name in ARKIT_BLENDSHAPES if name in view.weights or weights.get(name)]
    return dataclasses.replace(view, weights={name: weights[name] for name in order})


def look_weights(avatar: Avatar, side: int, direction: np.ndarray) -> dict[str, float]:
    """Weights in [0, 1] of an eye's four `eyeLook*` shapes that point its iris along a direction (3,) of the head frame.

    The shapes move the front of the eyeball along straight lines, so that `arm + w1 * d1 + w2 * d2 = s * direction` with one shape
    sideways and one up or down is linear in the weights and the length s. Shapes that do not turn the eye stay at 0.
    """
    weights = {f"eyeLook{way}{SIDES[side]}": 0.0 for way in ("Down", "In", "Out", "Up")}
    charts = eye_charts(avatar.head)
    if not charts:
        return weights
    middle = HALF * charts[side].size + HALF
    corners, barycentric = charts[side].corners[middle], charts[side].barycentric[middle]
    arm = barycentric @ avatar.neutral[corners] - avatar.eye_centres[side]
    best = np.inf
    for names in itertools.product(
        (f"eyeLookIn{SIDES[side]}", f"eyeLookOut{SIDES[side]}"), (f"eyeLookUp{SIDES[side]}", f"eyeLookDown{SIDES[side]}")
    ):
        moves = [barycentric @ avatar.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)][corners] for name in names]
        if min(np.linalg.norm(move) for move in moves) < 1e-4:
            continue
        clipped = np.clip(np.linalg.solve(np.column_stack([*moves, -direction]), -arm)[:2], 0, 1)
        reached = arm + moves[0] * clipped[0] + moves[1] * clipped[1]
        miss = float(np.linalg.norm(reached / np.linalg.norm(reached) - direction))
        if miss < best - 1e-9:
            best, weights = miss, dict.fromkeys(weights, 0.0) | {n: float(w) for n, w in zip(names, clipped, strict=True)}
    return weights


def _lid_weights(avatar: Avatar, side: int, before: Mapping[str, float], looks: Mapping[str, float]) -> dict[str, float]:
    """Weights of blink and wide-open eye that undo, least squares on the lids, what a change of the `eyeLook*` weights does to them."""
    head = avatar.head
    near = np.linalg.norm(avatar.neutral - avatar.eye_centres[side], axis=1) < LIDS_M
    lids = np.flatnonzero(near & (head.vertex_parts == PARTS.index("skin")))
    moves = {name: avatar.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)][lids].ravel().astype(np.float64) for name in looks}
    shift = sum((looks[name] - before.get(name, 0.0)) * move for name, move in moves.items())
    names = [f"eyeBlink{SIDES[side]}", f"eyeWide{SIDES[side]}"]
    columns = np.column_stack([avatar.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)][lids].ravel() for name in names]).astype(np.float64)
    start = np.array([np.clip(before.get(name, 0.0), 0, 1) for name in names])
    # A little damping: shapes that do nothing to the lids of a head stay as they are.
    system = np.concatenate([columns, 1e-4 * np.eye(2)])
    change = lsq_linear(system, np.concatenate([-shift, np.zeros(2)]), bounds=(-start - 1e-9, 1 - start + 1e-9)).x
    return {name: float(np.clip(s + c, 0, 1)) for name, s, c in zip(names, start, change, strict=True)}
