"""Procedural skin, lips and eyes of the sample person, looked up by position on the average head."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import cast

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from assets.head_model import PARTS, HeadModel
from render.quality import uv_texels
from studio.sample_noise import bump, distance_to_polyline, fractal, noise, smoothstep
from studio.sample_shape import IRIS_RADIANS, SamplePerson, load_person

_CHUNK = 200_000
_BASE = np.array([0.525, 0.330, 0.242])
_BLOOD = np.array([0.012, -0.052, -0.045])
_LIP = np.array([0.40, 0.155, 0.135])
_MOLE = np.array([0.105, 0.055, 0.04])


@dataclasses.dataclass(frozen=True, eq=False)
class SkinTexture:
    """Maps over the head's UV chart; row 0 is v = 1."""

    albedo_linear: np.ndarray
    """(H, W, 3) float32 reflectance."""
    height_mm: np.ndarray
    """(H, W) float32 pore and crease relief that only bends normals."""
    sheen: np.ndarray
    """(H, W) float32 strength of the specular lobe, about 1."""
    position_mm: np.ndarray
    """(H, W, 3) float32 place on the average head."""


def lip_mask(p: np.ndarray) -> np.ndarray:
    """(N,) 0..1: vermilion of the lips on the average head (mm)."""
    x = np.abs(p[:, 0])
    upper = np.interp(x, [0, 3, 6.5, 14, 22, 26.5], [-66.0, -64.8, -64.4, -67.0, -71.2, -74.2])
    lower = np.interp(x, [0, 8, 15, 21, 26.5], [-87.0, -86.4, -83.2, -78.6, -74.6])
    inside = np.minimum(upper - p[:, 1], p[:, 1] - lower) + 0.35 * noise(p, 5, seed=31)
    return smoothstep(-0.7, 0.9, inside) * smoothstep(5, 12, p[:, 2])


def hairline_distance_mm(p: np.ndarray) -> np.ndarray:
    """(N,) height in mm above the hairline on the average head; positive where hair grows."""
    azimuth = np.degrees(np.arctan2(np.abs(p[:, 0]), p[:, 2] + 70))
    knots = [0, 10, 22, 32, 42, 50, 58, 66, 74, 80, 85, 89, 93, 99, 107, 113, 118, 123, 130, 142, 180]
    heights = [70, 72, 74, 71, 62, 50, 38, 26, 8, -10, -24, -16, 0, 9, 9, -3, -18, -38, -56, -68, -74]
    return p[:, 1] - np.interp(azimuth, knots, heights) - 2.2 * noise(p, 16, seed=40) - 1.2 * noise(p, 5, seed=41)


def _spots(person: SamplePerson, count: int, seed: int, density: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(M, 3) places on the average head, mm, drawn by area and accepted by a density function of place."""
    rng = np.random.default_rng(seed)
    corners = person.atlas_mm[person.fine.triangles[person.fine_parts == 1]]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = corners[rng.choice(len(corners), count, p=area / area.sum())]
    weights = rng.dirichlet(np.ones(3), count)
    places = np.einsum("nk,nkc->nc", weights, chosen)
    return places[rng.random(count) < density(places)]


def _freckle_density(p: np.ndarray) -> np.ndarray:
    cheeks = bump(p, (38, -28, 14), 20) + 0.75 * bump(p, (-36, -26, 14), 18) + 0.9 * bump(p, (2, -24, 36), 14)
    forehead = 0.35 * bump(p, (-8, 45, 28), 30)
    return np.clip(cheeks + forehead, 0, 1) * (p[:, 2] > -40)


def _stamp_spots(p: np.ndarray, places: np.ndarray, radii: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """(N,) strongest spot at each place; irregular outlines by noise."""
    reach = float(radii.max()) * 2.2
    cover = np.zeros(len(p))
    warped = p + 0.35 * np.stack([noise(p, 3.1, seed=s) for s in (51, 52, 53)], 1)
    found = KDTree(places).query(warped, k=2, distance_upper_bound=reach)
    distance, nearest = (np.asarray(part) for part in found)
    for k in range(2):
        ok = np.isfinite(distance[:, k])
        index = nearest[ok, k]
        value = strengths[index] * smoothstep(1.25, 0.55, distance[ok, k] / radii[index])
        cover[ok] = np.maximum(cover[ok], value)
    return cover


MOLES_MM: tuple[tuple[tuple[float, float, float], float], ...] = (
    ((-37, -52, 14), 2.0),
    ((29, -88, 22), 1.5),
    ((46, -12, 10), 1.2),
    ((-14, 30, 32), 1.3),
    ((12, -58, 30), 1.0),
    ((-62, -40, -20), 1.7),
    ((66, 18, -20), 1.4),
    ((-24, -100, 18), 1.1),
    ((52, -78, -8), 1.6),
    ((20, 55, 26), 1.1),
)
"""Centre on the average head and radius, mm."""


def _blood(p: np.ndarray) -> np.ndarray:
    """(N,) how red the skin is beyond its base tone."""
    red = 0.9 * bump(p, (42, -34, 12), 17) + 1.05 * bump(p, (-44, -31, 12), 18) + 1.1 * bump(p, (1, -38, 44), 11)
    red += 0.9 * (bump(p, (82, -20, -85), 26) + bump(p, (-82, -20, -85), 26)) + 0.45 * bump(p, (0, -104, 30), 13)
    red += 0.5 * bump(p, (0, 8, 28), 13) + 0.5 * (bump(p, (17, -45, 28), 7) + bump(p, (-17, -45, 28), 7))
    return red + 0.11 * fractal(p, 26, octaves=3, seed=60) - 0.25 * bump(p, (0, 48, 28), 26)


def _beard(p: np.ndarray) -> np.ndarray:
    """(N,) 0..1 where a shaved beard would grow."""
    jaw = smoothstep(-48, -62, p[:, 1] + 0.42 * np.maximum(np.abs(p[:, 0]) - 22, 0) * -1) * smoothstep(-75, -45, p[:, 2])
    moustache = bump(p * (0.55, 1, 1), (0, -57, 33), 6.5)
    neck = smoothstep(-150, -125, p[:, 1])
    return np.clip(jaw * (1 - 0.55 * bump(p, (0, -66, 30), 12)) + 0.7 * moustache, 0, 1) * neck


def _eye_surround(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bluish shade around the eyes, and (N,) pink wet lid rim."""
    shade, rim = np.zeros(len(p)), np.zeros(len(p))
    for side in (1.0, -1.0):
        distance = np.linalg.norm(p - (side * 31.3, 0, 0), axis=1)
        rim = np.maximum(rim, smoothstep(16.9, 15.6, distance))
        shade += bump(p, (side * 27, -12, 18), 8.5) + 0.7 * bump(p, (side * 18, -1, 20), 6) + 0.5 * bump(p, (side * 33, 7, 18), 7)
    return shade, rim


def skin_albedo(p: np.ndarray) -> np.ndarray:
    """(N, 3) linear reflectance at places (N, 3) in mm on the average head."""
    tone = 1 + 0.03 * noise(p, 45, seed=70) + 0.028 * fractal(p, 11, octaves=3, seed=71) + 0.035 * fractal(p, 2.6, octaves=2, seed=72)
    colour = _BASE * tone[:, None] + _BLOOD * _blood(p)[:, None]
    colour += np.array([0.008, 0.006, -0.002]) * noise(p, 19, seed=73)[:, None]
    shade, rim = _eye_surround(p)
    colour *= 1 - shade[:, None] * (0.16, 0.19, 0.13)
    stubble = smoothstep(0.35, 1.3, noise(p, 1.15, seed=74)) * 0.55 + 0.45
    colour *= 1 - (_beard(p) * stubble)[:, None] * (0.22, 0.185, 0.13)
    colour *= 1 - brow_shadow(p)[:, None] * (0.30, 0.34, 0.36)
    colour = _add_spots(p, colour)
    lip = lip_mask(p)[:, None]
    creases = smoothstep(0.2, 1.6, np.abs(noise(p * (1, 0.16, 0.3), 1.9, seed=75)))[:, None]
    lip_colour = _LIP * (1.02 + 0.10 * noise(p, 7, seed=76)[:, None] - 0.16 * creases)
    colour = colour * (1 - 0.86 * lip) + 0.86 * lip * lip_colour
    colour = colour * (1 - 0.75 * rim[:, None]) + 0.75 * rim[:, None] * np.array([0.43, 0.20, 0.17])
    mouth = (smoothstep(4, -12, p[:, 2]) * (np.abs(p[:, 0]) < 30) * (np.abs(p[:, 1] + 73) < 30) * (p[:, 2] > -75))[:, None]
    colour = colour * (1 - mouth) + mouth * np.array([0.16, 0.05, 0.045])
    nostril = (bump(p, (9.5, -47, 22), 5.5) + bump(p, (-9.5, -47, 22), 5.5)) * smoothstep(31, 25, p[:, 2])
    colour *= 1 - np.clip(1.1 * nostril, 0, 0.85)[:, None]
    scalp = smoothstep(-5, 11, hairline_distance_mm(p))[:, None]
    return np.clip(colour * (1 - 0.82 * scalp * (0.9, 0.93, 0.95)), 0.008, 0.95).astype(np.float32)


@functools.lru_cache(maxsize=1)
def _spot_places() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places (N, 3) in mm of freckles, red marks and moles."""
    person = load_person()
    freckles = _spots(person, 14000, 80, lambda q: 0.55 * _freckle_density(q) + 0.012 * (q[:, 1] < 60))
    marks = _spots(person, 260, 82, lambda q: 0.5 * (q[:, 2] > -60) * (q[:, 1] < 60))
    return freckles, marks, _on_surface(person, np.array([m[0] for m in MOLES_MM], np.float64))


def _add_spots(p: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Freckles, small red marks and moles over a skin colour (N, 3)."""
    places, marks, centres = _spot_places()
    rng = np.random.default_rng(81)
    freckles = _stamp_spots(p, places, rng.uniform(0.35, 1.15, len(places)), rng.uniform(0.15, 0.75, len(places)))
    colour = colour * (1 - freckles[:, None] * (0.36, 0.50, 0.58))
    red = _stamp_spots(p, marks, rng.uniform(0.7, 1.9, len(marks)), rng.uniform(0.15, 0.6, len(marks)))
    colour = colour + red[:, None] * np.array([0.02, -0.075, -0.06])
    moles = _stamp_spots(p, centres, np.array([m[1] for m in MOLES_MM]), np.full(len(MOLES_MM), 0.85))
    return colour * (1 - moles[:, None]) + moles[:, None] * _MOLE


def _on_surface(person: SamplePerson, p: np.ndarray) -> np.ndarray:
    """The nearest skin vertex of the average head to each place (N, 3), mm."""
    skin = person.atlas_mm[np.unique(person.fine.triangles[person.fine_parts == 1])]
    return skin[KDTree(skin).query(p)[1]]


def skin_height_mm(p: np.ndarray) -> np.ndarray:
    """(N,) pores, fine lines and lip creases in mm."""
    pores = -0.035 * smoothstep(0.5, 1.8, noise(p, 1.5, seed=90)) * (0.5 + bump(p, (0, -34, 36), 28))
    lines = 0.018 * fractal(p * (0.6, 1.5, 1), 2.2, octaves=2, seed=91)
    lips = 0.11 * lip_mask(p) * noise(p * (1, 0.16, 0.3), 2.1, seed=75)
    forehead = 0.035 * bump(p, (0, 45, 25), 30) * noise(p * (0.16, 1, 0.3), 5.5, seed=92)
    return (pores + lines + lips + forehead).astype(np.float32)


def skin_sheen(p: np.ndarray) -> np.ndarray:
    """(N,) strength of highlights: more on nose, forehead and lips."""
    oily = 0.55 * bump(p, (0, -30, 40), 18) + 0.35 * bump(p, (0, 45, 28), 26)
    return (0.75 + oily + 0.45 * lip_mask(p) + 0.12 * noise(p, 3, seed=95)).astype(np.float32)


def chart_places(head: HeadModel, places_mm: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Places (size, size, 3) float32 mm per texel of the skin's UV chart from those of the vertices (V, 3), and where they are known."""
    skin = np.flatnonzero(head.triangle_parts == PARTS.index("skin"))
    texels = uv_texels(head.uvs, head.triangle_uvs[skin], size)
    known = texels.face_id >= 0
    corners = places_mm[head.triangles[skin[texels.face_id[known]]]]
    places = np.zeros((size, size, 3), np.float32)
    places[known] = np.einsum("nk,nkc->nc", texels.barycentric[known], corners)
    return places, known


@functools.lru_cache(maxsize=2)
def bake_skin(size: int) -> SkinTexture:
    """The skin maps at a texel count; border texels outside the chart repeat their nearest neighbour, so no seam shows."""
    person = load_person()
    places, known = chart_places(person.head, person.atlas_mm[: person.head.num_vertices], size)
    wanted = known & (places[..., 1] > -200)
    albedo, height, sheen = np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.float32), np.ones((size, size), np.float32)
    rows, columns = np.nonzero(wanted)
    for start in range(0, len(rows), _CHUNK):
        texel = rows[start : start + _CHUNK], columns[start : start + _CHUNK]
        p = places[texel].astype(np.float64)
        albedo[texel], height[texel], sheen[texel] = skin_albedo(p), skin_height_mm(p), skin_sheen(p)
    distance, nearest = cast(tuple[np.ndarray, np.ndarray], distance_transform_edt(~wanted, return_indices=True))
    near = distance < 12
    rows, columns = np.where(near, nearest[0], 0), np.where(near, nearest[1], 0)
    return SkinTexture(albedo[rows, columns], height[rows, columns], sheen[rows, columns], places[rows, columns])


def eye_albedo(direction: np.ndarray, side: float) -> np.ndarray:
    """(N, 3) linear colour of an eyeball at unit directions (N, 3) from its centre; +Z is the way it looks."""
    d = direction
    angle = np.arccos(np.clip(d[:, 2], -1, 1))
    around = np.arctan2(d[:, 1], d[:, 0])
    q = d * 15 + side * 40
    redness = smoothstep(0.55, 1.05, angle)[:, None]
    sclera = np.array([0.60, 0.545, 0.51]) * (1 - redness * (0.05, 0.22, 0.22))
    vein = smoothstep(0.16, 0.02, np.abs(noise(q, 5.5, seed=int(100 + side)) + 0.4 * noise(q, 2, seed=103)))
    sclera = sclera * (1 - (vein * smoothstep(0.45, 0.8, angle) * 0.5)[:, None] * (0.15, 0.6, 0.6))
    spoke = np.stack([np.cos(around) * 9, np.sin(around) * 9, angle * 6], 1)
    fibre = 0.6 * noise(spoke, 1.6, seed=110) + 0.4 * noise(spoke, 0.7, seed=111)
    t = angle / IRIS_RADIANS
    ring = smoothstep(0.62, 0.36, t)[:, None]
    iris = np.array([0.085, 0.105, 0.075]) * (1 - ring) + np.array([0.16, 0.085, 0.035]) * ring
    iris = iris * (1.05 + 0.33 * fibre)[:, None] * (1 - 0.72 * smoothstep(0.78, 1.0, t))[:, None]
    iris = iris * smoothstep(0.30, 0.345, t)[:, None] + 0.004
    edge = smoothstep(0.94, 1.08, t)[:, None]
    return (iris * (1 - edge) + sclera * edge).astype(np.float32)


def brow_line(side: float) -> np.ndarray:
    """(P, 2) x, y in mm of the middle of a brow on the average head, from its inner end outwards; +1 is the left."""
    return np.array([[11.5, 9.0], [20, 12.5], [29, 15.0], [38, 15.5], [46, 12.5], [52.5, 7.0]]) * (side, 1)


def brow_shadow(p: np.ndarray) -> np.ndarray:
    """(N,) 0..1 the soft dark below the brow hairs."""
    total = np.zeros(len(p))
    for side in (1.0, -1.0):
        total = np.maximum(total, smoothstep(5.0, 0.5, distance_to_polyline(p[:, :2], brow_line(side))))
    return total * (p[:, 2] > 0)
