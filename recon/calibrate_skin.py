"""A plain painted skin for calibrating the detector: lips, brows, irises, shading in the hollows, and noise.

Everything is placed by what any head model of this project has (parts, regions, ARKit shapes, eyeball centres), never by
vertex numbers, so it fits every topology. It only has to look like a face to a detector.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.head_model import PARTS, REGIONS, HeadModel
from render.hollows import hidden_shares
from render.quality import uv_texels

TEXTURE_SIDE = 1024

IRIS_RADIUS_M, PUPIL_RADIUS_M = 0.0059, 0.0021
"""Horizontal visible iris diameter of adults is 11.8 mm (Ruefer et al. 2005)."""

# sRGB of skin, lips and hair from light to dark, in [0, 1]; brows take the hair colour.
_TONES = (
    ((0.90, 0.74, 0.66), (0.72, 0.42, 0.40), (0.36, 0.25, 0.17)),
    ((0.84, 0.66, 0.55), (0.66, 0.37, 0.34), (0.20, 0.14, 0.10)),
    ((0.74, 0.55, 0.42), (0.58, 0.33, 0.29), (0.12, 0.09, 0.07)),
    ((0.58, 0.41, 0.30), (0.45, 0.25, 0.22), (0.08, 0.06, 0.05)),
    ((0.42, 0.29, 0.21), (0.33, 0.18, 0.17), (0.06, 0.05, 0.04)),
)
_IRIS_COLOURS = ((0.36, 0.24, 0.14), (0.32, 0.42, 0.52), (0.36, 0.42, 0.28), (0.20, 0.13, 0.09))


@dataclasses.dataclass(frozen=True, eq=False)
class SkinChart:
    """Where every texel of the head's UV chart lies on the average head."""

    is_used: np.ndarray
    """(S, S) bool: a triangle covers the texel; row 0 is v = 1."""
    part_id: np.ndarray
    """(S, S) uint8 into PARTS, 0 where unused."""
    position: np.ndarray
    """(S, S, 3) float32, metres, head frame; 0 where unused."""
    hollow: np.ndarray
    """(S, S) float32: share of the sky that the surface does not see, 0 open to 1 closed."""
    scalp: np.ndarray
    """(S, S) float32: 1 where hair grows, 0 where it does not, a ramp in between."""
    mouth: np.ndarray
    """(38 or so, 3) points of the inner lip line, sorted by x."""


def chart_of(head: HeadModel, *, side: int = TEXTURE_SIDE) -> SkinChart:
    """The chart of a head at `side` texels."""
    texels = uv_texels(head.uvs, head.triangle_uvs, side)
    is_used, barycentric = texels.face_id >= 0, np.nan_to_num(texels.barycentric)
    triangle = np.where(is_used, texels.face_id, 0)

    def spread(values: np.ndarray) -> np.ndarray:
        """Vertex values (V, ...) at every texel."""
        at_texels = np.einsum("rsk,rskc->rsc", barycentric, values.reshape(len(values), -1)[head.triangles[triangle]])
        return at_texels.reshape(side, side, *values.shape[1:]).astype(np.float32)

    return SkinChart(
        is_used=is_used,
        part_id=np.where(is_used, head.triangle_parts[triangle], 0).astype(np.uint8),
        position=spread(head.vertices),
        hollow=spread(hidden_shares(head.vertices, head.triangles)),
        scalp=spread((head.vertex_regions == REGIONS.index("scalp")).astype(np.float32)),
        mouth=inner_lip_line(head),
    )


def jaw_share(head: HeadModel) -> np.ndarray:
    """(V,) float32: how far each vertex follows the opening jaw, as a share of the vertex that follows most."""
    drop = np.linalg.norm(head.blendshape_deltas[ARKIT_BLENDSHAPES.index("jawOpen")], axis=1)
    return (drop / max(float(drop.max()), 1e-9)).astype(np.float32)


def inner_lip_line(head: HeadModel) -> np.ndarray:
    """(N, 3) points where the skin ends and the mouth begins, sorted by x: the edge of the skin nearest to the face's middle.

    Vertices that skin triangles share with the mouth socket; heads without a socket give the open edge of the skin instead.
    """
    skin = head.triangles[head.triangle_parts == PARTS.index("skin")]
    edges, counts = np.unique(
        np.sort(np.concatenate([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]]), axis=1), axis=0, return_counts=True
    )
    edge_points = head.vertices[np.unique(edges[counts == 1])]
    in_front = edge_points[edge_points[:, 2] > 0.3 * head.vertices[:, 2].max()]
    line = in_front[np.argsort(in_front[:, 0])]
    # Points of the upper and lower lip alternate; their running mean is the line between them, without teeth.
    padded = np.pad(line, ((2, 2), (0, 0)), mode="reflect", reflect_type="odd")
    return np.mean([padded[k : k + len(line)] for k in range(5)], axis=0)


def paint_skin(chart: SkinChart, rng: np.random.Generator) -> np.ndarray:
    """(S, S, 3) uint8 sRGB texture with a random tone, iris colour, brows, lips and hair; row 0 is v = 1."""
    x, y, z = (chart.position[..., axis] * 1000 for axis in range(3))
    skin, lip, hair = (np.array(colour) for colour in _TONES[rng.integers(len(_TONES))])
    colour = np.broadcast_to(skin, (*x.shape, 3)).copy()
    colour = _blush(colour, x, y, z, rng)
    lips = _lips(chart, x, y, z, rng)
    colour += (lips * rng.uniform(0.7, 1.0))[..., None] * (lip - colour)
    brows = _brows(x, y, z, rng)
    colour += (brows * rng.uniform(0.55, 0.95))[..., None] * (hair - colour)
    colour += _hair(chart, rng)[..., None] * (hair * rng.uniform(0.7, 1.5) - colour)
    colour += (0.75 * _lash_line(chart))[..., None] * (0.5 * hair - colour)
    colour *= (1 + 0.035 * _noise(chart, rng))[..., None] * (1 - 0.85 * np.clip(chart.hollow * 1.6 - 0.55, 0, 1))[..., None]
    colour = _other_parts(colour, chart, x, y, z, rng)
    return (np.clip(_fill_gaps(colour, chart.is_used), 0, 1) * 255 + 0.5).astype(np.uint8)


def with_painted_eyes(texture: np.ndarray, head: HeadModel, rng: np.random.Generator) -> np.ndarray:
    """(S, S, 3) uint8: a photographic skin (S, S, 3) in the head's chart with painted eyeballs, teeth, tongue and mouth.

    Photographs of skin hold white or nothing where the eyeballs' texels lie.
    """
    chart = chart_of(head, side=len(texture))
    x, y, z = (chart.position[..., axis] * 1000 for axis in range(3))
    painted = _other_parts(texture / 255.0, chart, x, y, z, rng)
    return (np.clip(painted, 0, 1) * 255 + 0.5).astype(np.uint8)


def _soft(distance_mm: np.ndarray, width_mm: float) -> np.ndarray:
    """1 inside (negative distance), 0 outside, with a ramp of this width."""
    return np.clip(0.5 - distance_mm / width_mm, 0, 1)


def _blush(colour: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Redder cheeks and nose tip, darker around the eyes."""
    for cx, cy, size, strength in ((38, -42, 20, 0.10), (-38, -42, 20, 0.10), (0, -40, 14, 0.12), (32, 2, 16, -0.04), (-32, 2, 16, -0.04)):
        bump = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * size**2)) * (z > -10) * strength * rng.uniform(0.5, 1.4)
        colour = colour * (1 - bump[..., None] * (0.2, 0.8, 0.7)) if strength > 0 else colour * (1 + bump[..., None])
    return colour


def _lips(chart: SkinChart, x: np.ndarray, y: np.ndarray, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Coverage of the vermilion: above the inner lip line with a cupid's bow, below it in one curve, thinning to the corners."""
    line = chart.mouth * 1000
    half_width = float(np.abs(line[:, 0]).max())
    across = np.clip(np.abs(x) / (half_width + 2.5), 0, 1)
    rise = y - np.interp(x, line[:, 0], line[:, 1])
    grow = rng.uniform(0.85, 1.15)
    upper = grow * (8.6 * np.sqrt(1 - across**2) ** 1.3 - 1.2 * np.exp(-((x / 3.0) ** 2)))
    lower = grow * 12.0 * np.sqrt(1 - across**2)
    inside = np.maximum(rise - upper, -rise - lower)
    return _soft(inside, 2.5) * (z > line[:, 2].min() - 14) * (across < 1)


def _brows(x: np.ndarray, y: np.ndarray, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Coverage of the eyebrows: an arc from beside the nose bridge over the eye, thinner outwards.

    Its height above the eyeball's centre is the mean of where the detector finds the brows of eleven photographic skins.
    """
    along = (np.abs(x) - 13) / 43
    arc = 10.6 + rng.uniform(-1.5, 1.5) + 4.8 * np.sin(np.pi * np.clip(along, 0, 1) ** 1.25 * 0.9)
    half_height = rng.uniform(2.4, 3.8) * np.clip(1.15 - 0.7 * along, 0.25, 1)
    ends = np.clip(along / 0.1 + 0.3, 0, 1) * np.clip((1 - along) / 0.15, 0, 1)
    return _soft(np.abs(y - arc) - half_height, 2.5) * ends * (z > -30)


def _hair(chart: SkinChart, rng: np.random.Generator) -> np.ndarray:
    """Coverage of the scalp by hair: none on a quarter of the heads, else of random density, with a ragged edge."""
    density = rng.uniform(0.5, 1.0) if rng.random() > 0.25 else 0.0
    return density * np.clip(chart.scalp + 0.12 * _noise(chart, rng), 0, 1) * (chart.scalp > 0.05)


def _lash_line(chart: SkinChart) -> np.ndarray:
    """Skin that touches an eyeball: the rims of the lids."""
    coverage = np.zeros(chart.is_used.shape, np.float32)
    for side in ("eye_left", "eye_right"):
        ball = chart.position[chart.part_id == PARTS.index(side)]
        if not len(ball):
            continue
        centre = (ball.min(0) + ball.max(0)) / 2
        radius_mm = float(np.ptp(ball[:, 1])) / 2 * 1000
        off_mm = np.linalg.norm(chart.position - centre, axis=-1) * 1000 - radius_mm
        coverage = np.maximum(coverage, _soft(off_mm - 1.6, 1.0) * (chart.position[..., 2] > centre[2]))
    return coverage * (chart.part_id == PARTS.index("skin"))


def _noise(chart: SkinChart, rng: np.random.Generator) -> np.ndarray:
    """Pigment in patches of several sizes, unit variance. Seams of the chart show in it, where no detector looks."""
    side = len(chart.is_used)
    total = np.zeros((side, side), np.float32)
    for cells, strength in ((24, 0.5), (64, 0.5), (160, 0.5), (512, 0.5)):
        coarse = rng.standard_normal((cells, cells), np.float32)
        total += strength * cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return total


def _other_parts(colour: np.ndarray, chart: SkinChart, x: np.ndarray, y: np.ndarray, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Eyeballs with iris and pupil, teeth, tongue, and a dark mouth."""
    iris = np.array(_IRIS_COLOURS[rng.integers(len(_IRIS_COLOURS))])
    plain = {
        "teeth_upper": (0.86, 0.82, 0.74),
        "teeth_lower": (0.82, 0.78, 0.70),
        "tongue": (0.62, 0.32, 0.32),
        "mouth_socket": (0.30, 0.12, 0.12),
    }
    for part, rgb in plain.items():
        colour[chart.part_id == PARTS.index(part)] = rgb
    for side in ("eye_left", "eye_right"):
        is_eye = chart.part_id == PARTS.index(side)
        if not is_eye.any():
            continue
        points = chart.position[is_eye]
        centre = (points.min(0) + points.max(0)) / 2
        from_axis_mm = np.linalg.norm(points[:, :2] - centre[:2], axis=1) * 1000
        is_front = points[:, 2] > centre[2]
        eye = np.tile((0.88, 0.86, 0.84), (len(points), 1))
        eye += (_soft(from_axis_mm - IRIS_RADIUS_M * 1000, 0.6) * is_front)[:, None] * (iris - eye)
        # The limbus, the dark rim of the iris, is what the eye detector holds on to.
        eye *= 1 - 0.5 * (np.exp(-(((from_axis_mm - IRIS_RADIUS_M * 1000 + 0.4) / 0.5) ** 2)) * is_front)[:, None]
        eye += (_soft(from_axis_mm - PUPIL_RADIUS_M * 1000, 0.4) * is_front)[:, None] * (0.03 - eye)
        colour[is_eye] = eye
    return colour


def _fill_gaps(colour: np.ndarray, is_used: np.ndarray) -> np.ndarray:
    """Texels outside every triangle take the nearest colour, so that bilinear sampling at seams brings in nothing foreign."""
    _, labels = cv2.distanceTransformWithLabels((~is_used).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    nearest = np.zeros((labels.max() + 1, 3))
    nearest[labels[is_used]] = colour[is_used]
    return nearest[labels]
