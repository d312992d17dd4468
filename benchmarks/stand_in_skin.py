"""Skin of the stand-ins, painted by place on the default head's average and therefore alike on every head model."""

from __future__ import annotations

from typing import cast

import numpy as np
from scipy.ndimage import distance_transform_edt

from benchmarks.stand_in_people import StandInPerson
from benchmarks.stand_in_specs import SkinSpec
from studio.sample_noise import bump, distance_to_polyline, fractal, noise, smoothstep
from studio.sample_skin import SkinTexture, brow_line, chart_places, hairline_distance_mm, lip_mask, skin_sheen

TEXELS = 2048
_CHUNK = 200_000


def bake_stand_in_skin(person: StandInPerson, *, texels: int = TEXELS) -> SkinTexture:
    """The maps of a person's skin over its head model's chart; texels beyond the chart repeat their nearest neighbour."""
    places, known = chart_places(person.head, person.atlas_mm[: person.head.num_vertices], texels)
    shape = (texels, texels)
    albedo, height, sheen = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32), np.ones(shape, np.float32)
    rows, columns = np.nonzero(known)
    for start in range(0, len(rows), _CHUNK):
        texel = rows[start : start + _CHUNK], columns[start : start + _CHUNK]
        p = places[texel].astype(np.float64)
        albedo[texel] = paint(p, person.spec.skin, person.spec.seed)
        height[texel] = _pores_mm(p, person.spec.skin, person.spec.seed)
        sheen[texel] = skin_sheen(p)
    distance, nearest = cast(tuple[np.ndarray, np.ndarray], distance_transform_edt(~known, return_indices=True))
    rows, columns = np.where(distance < 12, nearest[0], 0), np.where(distance < 12, nearest[1], 0)
    return SkinTexture(albedo[rows, columns], height[rows, columns], sheen[rows, columns], places[rows, columns])


def paint(p: np.ndarray, spec: SkinSpec, seed: int) -> np.ndarray:
    """(N, 3) linear reflectance at places (N, 3) mm on the atlas."""
    fine = spec.detail * (
        0.030 * fractal(p, 11, octaves=3, seed=seed + 10)
        + 0.045 * fractal(p, 2.6, octaves=2, seed=seed + 11)
        + 0.03 * noise(p, 5, seed=seed)
    )
    colour = np.asarray(spec.tone_linear) * (1 + 0.04 * noise(p, 50, seed=seed + 12) + fine)[:, None]
    colour += np.array([0.010, -0.050, -0.042]) * _blood(p, spec, seed)[:, None] * np.mean(spec.tone_linear) / 0.35
    colour *= 1 - _freckles(p, spec, seed)[:, None] * (0.35, 0.48, 0.55)
    colour *= 1 - _spots(p, 5.5, 0.16, seed + 21)[:, None] * min(spec.detail, 1.0) * (0.72, 0.80, 0.82) * (spec.detail > 0.5)
    colour *= 1 - _eye_shade(p)[:, None] * (0.20, 0.24, 0.18)
    colour *= 1 - spec.stubble * _stubble(p, seed)[:, None] * (0.30, 0.26, 0.20)
    colour = _mixed(
        colour, _lips(p, spec), np.array([0.40, 0.16, 0.14]) * (1 + 0.1 * noise(p * (1, 0.2, 0.3), 2.0, seed=seed + 13))[:, None]
    )
    colour = _mixed(colour, brows(p, spec, seed), np.array([0.035, 0.024, 0.018]))
    colour = _mixed(colour, 0.8 * _lid_rims(p), np.array([0.16, 0.08, 0.065]))
    nostril = (bump(p, (9.5, -47, 22), 5.0) + bump(p, (-9.5, -47, 22), 5.0)) * smoothstep(31, 25, p[:, 2])
    colour *= 1 - np.clip(nostril, 0, 0.8)[:, None]
    shaved = 0.8 * smoothstep(-4, 8, hairline_distance_mm(p)) * (0.9 + 0.1 * noise(p, 1.6, seed=seed + 14))
    colour = _mixed(colour, np.clip(shaved, 0, 1), np.array([0.05, 0.036, 0.028]))
    return np.clip(colour, 0.008, 0.95).astype(np.float32)


def _mixed(colour: np.ndarray, share: np.ndarray, other: np.ndarray) -> np.ndarray:
    return colour + share[:, None] * (other - colour)


def _blood(p: np.ndarray, spec: SkinSpec, seed: int) -> np.ndarray:
    """(N,) how red the skin is beyond its tone: cheeks, nose, ears, chin, and patches."""
    red = (
        0.8 * bump(p, (41, -33, 12), 18) + 0.7 * bump(p, (-43, -36, 10), 16) + bump(p, (1, -39, 44), 11) + 0.4 * bump(p, (0, -104, 30), 13)
    )
    red += 0.8 * (bump(p, (82, -20, -85), 26) + bump(p, (-82, -20, -85), 26))
    return red + 0.20 * spec.detail * fractal(p, 22, octaves=3, seed=seed + 15)


def _spots(p: np.ndarray, spacing_mm: float, share: float, seed: int) -> np.ndarray:
    """(N,) 0..1 round spots where a smooth noise peaks: `share` of the skin carries them, `spacing_mm` apart at least."""
    window = smoothstep(0.4, 1.3, noise(p, 40, seed=seed + 1))
    return window * smoothstep(2.2 - 2 * share, 2.9 - 2 * share, noise(p, spacing_mm, seed=seed))


def _freckles(p: np.ndarray, spec: SkinSpec, seed: int) -> np.ndarray:
    where = np.clip(
        bump(p, (36, -26, 14), 24) + bump(p, (-36, -26, 14), 22) + bump(p, (0, -24, 36), 16) + 0.4 * bump(p, (0, 45, 28), 40), 0.15, 1
    )
    dots = smoothstep(0.9, 1.7, noise(p, 2.1, seed=seed + 16)) + 0.7 * smoothstep(1.2, 1.9, noise(p, 3.4, seed=seed + 17))
    return np.clip(0.6 * spec.freckles * where * dots, 0, 0.9) * (p[:, 2] > -70)


def _lips(p: np.ndarray, spec: SkinSpec) -> np.ndarray:
    """(N,) 0..1 red of the lips, grown about their line."""
    about = np.array([0.0, -74.5, 0.0])
    half = 10.0
    grown = about + (p - about) * np.array([1.0, half / (half + spec.lip_grow_mm), 1.0])
    # The mask's line runs on beyond the corners of the mouth, a hair wide; grown, it would show.
    return 0.85 * lip_mask(grown) * smoothstep(28.0, 25.5, np.abs(p[:, 0]))


def brows(p: np.ndarray, spec: SkinSpec, seed: int) -> np.ndarray:
    """(N,) 0..1 cover of both brows, hair by hair where the texels allow."""
    total = np.zeros(len(p))
    hairs = 0.62 + 0.38 * np.clip(noise(p * (0.45, 1.6, 0.4), 1.7, seed=seed + 18), -1, 1)
    for up, side in zip(spec.brow_up_mm, (1.0, -1.0), strict=True):
        line = brow_line(side) + (0.0, up)
        off = distance_to_polyline(p[:, :2], line) + 0.5 * noise(p, 3.0, seed=seed + 19)
        total = np.maximum(total, smoothstep(4.4 * spec.brow_width, 1.6 * spec.brow_width, off))
    return np.clip(0.9 * total * hairs, 0, 1) * (p[:, 2] > -5)


def _eye_shade(p: np.ndarray) -> np.ndarray:
    return sum(
        (bump(p, (s * 27, -12, 18), 8.5) + 0.7 * bump(p, (s * 18, -1, 20), 6) + 0.5 * bump(p, (s * 33, 7, 18), 7) for s in (1, -1)),
        np.zeros(len(p)),
    )


def _lid_rims(p: np.ndarray) -> np.ndarray:
    """(N,) 0..1 the dark line of lashes where lids touch the eyeball."""
    nearest = np.minimum(np.linalg.norm(p - (31.3, 0, 0), axis=1), np.linalg.norm(p - (-31.3, 0, 0), axis=1))
    return smoothstep(18.6, 16.8, nearest)


def _stubble(p: np.ndarray, seed: int) -> np.ndarray:
    return beard_growth(p) * (0.55 + 0.45 * smoothstep(0.3, 1.3, noise(p, 1.2, seed=seed + 20)))


def beard_growth(p: np.ndarray) -> np.ndarray:
    """(N,) 0..1 where a beard grows: jaw, chin and upper lip, not the lips themselves."""
    edge = p[:, 1] - 0.42 * np.maximum(np.abs(p[:, 0]) - 22, 0)
    jaw = smoothstep(-52, -62, edge) * smoothstep(-72, -50, p[:, 2])
    moustache = bump(p * (0.55, 1, 1), (0, -58, 33), 6.0)
    lips = np.linalg.norm((p - (0, -75, 26)) / (27, 10.5, 30), axis=1)
    return np.clip(jaw + 0.9 * moustache, 0, 1) * smoothstep(0.95, 1.2, lips) * smoothstep(-148, -128, p[:, 1])


def _pores_mm(p: np.ndarray, spec: SkinSpec, seed: int) -> np.ndarray:
    """(N,) relief that only bends normals: pores, fine lines, lip creases; a tenth of it on smooth skin."""
    pores = -0.035 * smoothstep(0.5, 1.8, noise(p, 1.5, seed=seed + 22)) * (0.5 + bump(p, (0, -34, 36), 28))
    lines = 0.018 * fractal(p * (0.6, 1.5, 1), 2.2, octaves=2, seed=seed + 23)
    lips = 0.10 * lip_mask(p) * noise(p * (1, 0.16, 0.3), 2.1, seed=seed + 13)
    return (spec.detail * (pores + lines) + lips).astype(np.float32)
