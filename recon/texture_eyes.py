"""Eyeballs in the head's texture: each eye from its own sightings, completed, and plain where no picture shows it open."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from assets.head_model import PARTS, HeadModel
from recon.eyes_blend import EyePicture, balanced, blend_sightings, good_sightings
from recon.eyes_chart import HALF, IRIS_RADIUS_M, STEP_DEG, angles_of, eye_charts, grid_directions, sample_chart
from recon.eyes_complete import (
    IRIS_LINEAR,
    PUPIL_SHARE,
    SCLERA_LINEAR,
    EyeColours,
    complete_eye,
    measure_colours,
    plain_eye,
    plain_white,
    smooth,
)
from recon.eyes_pictures import EyeSighting
from recon.texture_chart import Chart

SKIN_LINEAR = np.array([0.45, 0.25, 0.18], np.float32)
LID_M = 0.002
"""Skin so near to an eyeball is the edge of its lids, where a fit that is off by a millimetre shows the eye."""


@dataclasses.dataclass(frozen=True, eq=False)
class PaintedEye:
    """One eye looking ahead, whole, on its chart (recon/eyes_chart.py)."""

    colour_linear: np.ndarray
    """(S, S, 3) float32 without the capture's light."""
    seen: np.ndarray
    """(S, S) float32 in [0, 1]: how well pictures show it; 0 where it was filled in."""
    colours: EyeColours


def make_eyes(
    sightings: Sequence[EyeSighting],
    gains: Mapping[str, np.ndarray],
    shade: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[PaintedEye | None, PaintedEye | None]:
    """The subject's left and right eye from the sightings of all pictures; None for both where none shows an open eye.

    Each eye is made from its own sightings: two eyes of different colours stay so. An eye that no picture shows is the other one in the
    mirror, marked as not seen.

    Args:
        gains: (3,) linear factor of each picture's exposure over the median picture's, by view name.
        shade: shading (N, 1) of unit directions (N, 3) of the head frame, by which the eyes' colours are divided; None: none.
    """
    good, radius_rad = good_sightings(sightings)
    good = balanced(good, gains, radius_rad)
    eyes: list[PaintedEye | None] = [None, None]
    for side in (0, 1):
        mine = [sighting for sighting in good if sighting.side == side]
        if mine:
            eyes[side] = _paint(blend_sightings(mine, radius_rad), radius_rad, shade)
    for side in (0, 1):
        other = eyes[1 - side]
        if eyes[side] is None and other is not None:
            mirrored = np.ascontiguousarray(other.colour_linear[:, ::-1])
            eyes[side] = PaintedEye(mirrored, np.zeros_like(other.seen), dataclasses.replace(other.colours, measured=False))
    return eyes[0], eyes[1]


def _paint(picture: EyePicture, radius_rad: float, shade: Callable[[np.ndarray], np.ndarray] | None) -> PaintedEye:
    if shade is not None:
        directions = grid_directions()
        light = shade(directions.reshape(-1, 3)).reshape(*directions.shape[:2], 1)
        picture = dataclasses.replace(picture, colour_linear=(picture.colour_linear / light).astype(np.float32))
    colours = measure_colours(picture, radius_rad)
    return PaintedEye(complete_eye(picture, colours), picture.seen, colours)


def paint_eyes(
    colour: np.ndarray, seen: np.ndarray, head: HeadModel, chart: Chart, eyes: tuple[PaintedEye | None, PaintedEye | None]
) -> tuple[np.ndarray, np.ndarray, EyeColours]:
    """The eyeballs of (N, 3) linear colours with trust `seen` (N,) painted; returns colours, trust and the colours of the eyes.

    What was baked onto an eyeball like onto skin is replaced: with the fit's gaze a little off it would show two irises. Without any
    sighting both eyes are plain, as bright as the skin suggests. The colours returned are the means of both eyes.
    """
    colour, seen = colour.copy(), seen.copy()
    skin = (chart.part == PARTS.index("skin")) & (seen > 0.3)
    level = np.median(colour[skin], 0) if skin.any() else SKIN_LINEAR
    chosen = []
    for side in range(len(eye_charts(head))):
        eye = eyes[side] or _unseen_eye(head, side, level)
        texels, angles = _texels(head, chart, side)
        colour[texels], seen[texels] = _texel_colours(eye, angles)
        chosen.append(eye.colours)
    return colour, seen, _mean_colours(chosen) if chosen else _default_colours(level, 0.36)


def _texels(head: HeadModel, chart: Chart, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(M,) texels of an eyeball and (M, 2) radians of each to the right and up from straight ahead."""
    texels = np.flatnonzero(chart.part == PARTS.index(("eye_left", "eye_right")[side]))
    corners = head.triangles[chart.triangle[texels]]
    arm = np.einsum("nk,nkc->nc", chart.barycentric[texels], head.vertices[corners]) - head.eye_centres()[side]
    return texels, angles_of(arm / np.maximum(np.linalg.norm(arm, axis=1, keepdims=True), 1e-9))


def _texel_colours(eye: PaintedEye, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M, 3) colours and (M,) trust at angles (M, 2); behind what the chart holds, the plain white."""
    if not len(angles):
        return np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
    values = sample_chart(np.dstack([eye.colour_linear, eye.seen]), angles[None])[0]
    away = np.linalg.norm(angles, axis=1)
    behind = smooth(away, np.radians(STEP_DEG * HALF) - 0.12, np.radians(STEP_DEG * HALF) - 0.02)
    plain = plain_white(eye.colours, away / eye.colours.radius_rad)
    return ((1 - behind[:, None]) * values[:, :3] + behind[:, None] * plain).astype(np.float32), (1 - behind) * values[:, 3]


def _unseen_eye(head: HeadModel, side: int, skin: np.ndarray) -> PaintedEye:
    ball = head.vertices[head.vertex_parts == PARTS.index(("eye_left", "eye_right")[side])] - head.eye_centres()[side]
    size = float(np.median(np.linalg.norm(ball, axis=1)))
    colours = _default_colours(skin, float(np.arcsin(min(IRIS_RADIUS_M / size, 0.6))))
    picture = plain_eye(colours, side)
    return PaintedEye(picture, np.zeros(picture.shape[:2], np.float32), colours)


def _default_colours(skin: np.ndarray, radius_rad: float) -> EyeColours:
    """A brown eye as bright as the skin suggests."""
    exposure = np.clip(2 * skin.mean() / SCLERA_LINEAR.mean(), 0.5, 1)
    return EyeColours(SCLERA_LINEAR * exposure, IRIS_LINEAR * exposure, PUPIL_SHARE, radius_rad, False)


def _mean_colours(colours: Sequence[EyeColours]) -> EyeColours:
    return dataclasses.replace(
        colours[0],
        sclera_linear=np.mean([c.sclera_linear for c in colours], 0),
        iris_linear=np.mean([c.iris_linear for c in colours], 0),
        measured=any(c.measured for c in colours),
    )


def trust_in_lids(colour: np.ndarray, seen: np.ndarray, head: HeadModel, chart: Chart) -> np.ndarray:
    """(N,) `seen`, lowered where skin around an eye shows the white of the eye: there the lids were fitted too wide or too narrow."""
    is_skin = chart.part == PARTS.index("skin")
    if not (is_skin & (seen > 0.3)).any():
        return seen
    skin = np.median(colour[is_skin & (seen > 0.3)], 0)
    near, edge = skin_near_eyes(head, chart), lids_of(head, chart, 0) | lids_of(head, chart, 1)
    around = near & ~edge & (seen > 0.3)
    beside = np.median(colour[around], 0) if around.sum() > 100 else skin
    share, seen = np.zeros(len(seen), np.float32), seen.astype(np.float32)
    share[near] = _pale(colour[near], skin, 0.85, 0.6, 1.0, 1.4)
    # At the lids' edges a mixture of both, or white in the lid's shadow, is hardly brighter than skin. What is lost there, its
    # neighbours replace.
    share[edge] = np.maximum(share[edge], _pale(colour[edge], beside, 0.95, 0.85, 0.35, 0.5))
    return seen * (1 - share)


def _pale(colour: np.ndarray, skin: np.ndarray, red: float, pale: float, dark: float, bright: float) -> np.ndarray:
    """(M,) 1 where a colour is less red than the share `pale` of the skin's redness and brighter than `bright` of its brightness."""
    redness, level = _redness(colour) / _redness(skin), colour.mean(1) / skin.mean()
    return smooth(redness, red, pale) * smooth(level, dark, bright)


def skin_near_eyes(head: HeadModel, chart: Chart) -> np.ndarray:
    """(N,) bool: texels of skin on and around the lids."""
    return _skin_within(head, chart, 0, 0.004) | _skin_within(head, chart, 1, 0.004)


def lids_of(head: HeadModel, chart: Chart, side: int) -> np.ndarray:
    """(N,) bool: texels of the skin that lies before one eyeball, within LID_M of it, on the average head."""
    near = np.flatnonzero(_skin_within(head, chart, side, LID_M))
    corners = head.triangles[chart.triangle[near]]
    depth = np.einsum("nk,nk->n", chart.barycentric[near], head.vertices[corners, 2])
    lids = np.zeros(len(chart.part), bool)
    lids[near[depth > head.eye_centres()[side, 2]]] = True
    return lids


def _skin_within(head: HeadModel, chart: Chart, side: int, margin_m: float) -> np.ndarray:
    """(N,) bool: texels of skin whose triangle lies within a margin of one eyeball's sphere, on the average head."""
    ball = head.vertices[head.vertex_parts == PARTS.index(("eye_left", "eye_right")[side])]
    if not len(ball):
        return np.zeros(len(chart.part), bool)
    centre = head.eye_centres()[side]
    reach = np.linalg.norm(ball - centre, axis=1).max() + margin_m
    middles = head.vertices[head.triangles].mean(1)
    is_near = (np.linalg.norm(middles - centre, axis=1) < reach) & (head.triangle_parts == PARTS.index("skin"))
    return is_near[chart.triangle]


def _redness(colour: np.ndarray) -> np.ndarray:
    return colour[..., 0] / np.maximum(colour[..., 2], 1e-3)
