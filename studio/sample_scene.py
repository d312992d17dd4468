"""Everything that stands before the sample camera, as one triangle soup with light at its vertices."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

from assets.head_model import PARTS
from render.rasterize.embree import RayScene
from studio.sample_hair import Strands, grow_strands
from studio.sample_light import Irradiance, cast_irradiance, room_rig
from studio.sample_noise import noise
from studio.sample_shape import IRIS_RADIANS, Expression, SamplePerson, eye_centres, load_person, pose_skin, vertex_normals

SKIN, MOUTH, TEETH, EYE, SHIRT, HAIR = range(6)
"""Materials."""

_SHIRT_TOP_MM = -168.0


@dataclasses.dataclass(frozen=True, eq=False)
class SampleScene:
    """One expression of the sample person, ready to be photographed; head frame, metres."""

    vertices: np.ndarray
    """(V, 3) float64: head, eyes, shirt, then strands."""
    triangles: np.ndarray
    """(F, 3) int32."""
    material: np.ndarray
    """(F,) uint8."""
    uvs: np.ndarray
    """(F, 3, 2) float32 chart of the skin; zero for other materials."""
    normals: np.ndarray
    """(V, 3) float64; of strands: of their roots."""
    tangents: np.ndarray
    """(V, 3) float64 along the strand; zero elsewhere."""
    colour_linear: np.ndarray
    """(V, 3) float32 reflectance of strands; zero elsewhere."""
    along: np.ndarray
    """(V,) float32 0 at the root of a strand, 1 at its tip."""
    irradiance: Irradiance
    eye_centres: np.ndarray
    """(2, 3)."""
    gaze: np.ndarray
    """(3, 3) rotation from the eyes' own frame to the head frame."""
    rays: RayScene


@functools.lru_cache(maxsize=1)
def _eyeball() -> tuple[np.ndarray, np.ndarray]:
    """Vertices (metres, looking along +Z) and triangles of an eyeball with a cornea."""
    rings, segments, radius = 56, 72, 14.75e-3
    angle = np.pi * (np.arange(1, rings) / rings) ** 1.15
    turn = 2 * np.pi * np.arange(segments) / segments
    bulge = 0.75e-3 * np.maximum(1 - (angle / (1.12 * IRIS_RADIANS)) ** 2, 0) ** 1.5
    r = (radius + bulge)[:, None]
    grid = np.stack(
        [r * np.sin(angle)[:, None] * np.cos(turn), r * np.sin(angle)[:, None] * np.sin(turn), r * np.cos(angle)[:, None] + 0 * turn], -1
    )
    vertices = np.concatenate([grid.reshape(-1, 3), [[0, 0, radius + 0.75e-3], [0, 0, -radius]]])
    a = (np.arange(rings - 2)[:, None] * segments + np.arange(segments)).ravel()
    b = (np.arange(rings - 2)[:, None] * segments + (np.arange(segments) + 1) % segments).ravel()
    strip = np.concatenate([np.stack([a, a + segments, b], 1), np.stack([b, a + segments, b + segments], 1)])
    k = np.arange(segments)
    front, back, last = len(vertices) - 2, len(vertices) - 1, (rings - 2) * segments
    caps = [
        np.stack([np.full(segments, front), k, (k + 1) % segments], 1),
        np.stack([last + (k + 1) % segments, last + k, np.full(segments, back)], 1),
    ]
    return vertices, np.concatenate([strip, *caps]).astype(np.int32)


@functools.lru_cache(maxsize=1)
def shirt_mesh() -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) in metres and triangles of a dark round-neck shirt: rings from the collar over the shoulders to below the picture."""
    rows = np.array(
        [  # y, half width, half depth, z of the middle (mm)
            (-148, 63, 74, -96), (-139, 69, 80, -95), (-140, 74, 84, -96), (-145, 86, 88, -97),
            (-152, 104, 93, -96), (-163, 126, 100, -94), (-180, 160, 109, -91), (-199, 188, 115, -87),
            (-224, 206, 120, -82), (-262, 214, 122, -76), (-320, 216, 124, -72), (-460, 214, 126, -70),
        ],
        float,
    )  # fmt: skip
    t = np.linspace(0, len(rows) - 1, 64)
    y, width, depth, middle = (np.interp(t, np.arange(len(rows)), rows[:, k]) for k in range(4))
    turn = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    x = width[:, None] * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.9
    z = middle[:, None] + depth[:, None] * np.sin(turn)
    # The front of a collar lies lower than its back.
    drop = np.clip(1 - np.maximum(-150 - y, 0) / 60, 0, 1)[:, None]
    height = y[:, None] - drop * (21 * np.sin(turn) + 2) + 0 * x
    points = np.stack([x, height, z], -1).reshape(-1, 3)
    axis = np.stack([np.cos(turn), 0 * turn, np.sin(turn)], -1)
    folds = 2.2 * noise(points * (1, 0.5, 1), 55, seed=200) + 0.8 * noise(points, 20, seed=201)
    points += np.tile(axis, (64, 1)) * (folds * np.repeat(np.clip((t - 3) / 4, 0.1, 1), 160))[:, None]
    a = (np.arange(63)[:, None] * 160 + np.arange(160)).ravel()
    b = (np.arange(63)[:, None] * 160 + (np.arange(160) + 1) % 160).ravel()
    return points * 1e-3, np.concatenate([np.stack([a, b, a + 160], 1), np.stack([b, b + 160, a + 160], 1)]).astype(np.int32)


def _head_material(person: SamplePerson) -> np.ndarray:
    """(16F,) material of each fine head triangle; 255 for what the scene replaces (eyeballs, lash cards, hidden shoulders)."""
    material = np.full(len(PARTS), 255, np.uint8)
    for part, value in (("skin", SKIN), ("teeth_upper", TEETH), ("teeth_lower", TEETH), ("tongue", MOUTH), ("mouth_socket", MOUTH)):
        material[PARTS.index(part)] = value
    per_triangle = material[person.fine_parts]
    hidden = (person.atlas_mm[person.fine.triangles][:, :, 1] < _SHIRT_TOP_MM - 20).all(1)
    per_triangle[hidden] = 255
    return per_triangle


@functools.lru_cache(maxsize=1)
def _fine_uvs() -> np.ndarray:
    """(16F, 3, 2) float32 UV of each fine corner: midpoints in the coarse triangle's chart."""
    head = load_person().head
    uvs = head.uvs[head.triangle_uvs]
    for _ in range(2):
        a, b, c = uvs[:, 0], uvs[:, 1], uvs[:, 2]
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        uvs = np.concatenate([np.stack(child, 1) for child in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return uvs.astype(np.float32)


def gaze_rotation(yaw_deg: float, pitch_deg: float) -> np.ndarray:
    """(3, 3) rotation from the eyes' own frame to the head frame."""
    yaw, pitch = np.radians(yaw_deg), np.radians(pitch_deg)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    return turn @ nod.T


@functools.lru_cache(maxsize=1)
def _smoother() -> sp.csr_matrix:
    """(V2, V2) one averaging step over the fine mesh: light bleeds a little below the skin."""
    triangles = load_person().fine.triangles
    count = int(triangles.max()) + 1
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    both = np.concatenate([sides, sides[:, ::-1]])
    graph = sp.csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(count, count))
    degree = np.asarray(graph.sum(1)).ravel()
    return sp.csr_matrix(0.4 * sp.identity(count) + sp.diags(0.6 / np.maximum(degree, 1)) @ graph)


def _scatter(light: Irradiance, count: int) -> Irradiance:
    """Blur of the light over the first `count` vertices: three steps for red, one for green, none for blue."""
    smooth = _smoother()
    diffuse = light.diffuse.copy()
    red = diffuse[:count, 0]
    for _ in range(4):
        red = smooth @ red
    diffuse[:count, 0], diffuse[:count, 1] = red, smooth @ diffuse[:count, 1]
    visible = light.visible.copy()
    visible[:count] = smooth @ visible[:count]
    return Irradiance(diffuse, light.gradient, visible)


def _of_strands(light: Irradiance, strands: Strands, triangles: np.ndarray) -> Irradiance:
    """Light of strand vertices: that of their roots."""

    def spread(values: np.ndarray) -> np.ndarray:
        roots = np.einsum("sk,sk...->s...", strands.root_barycentric, values[triangles[strands.root_triangle]])
        return np.repeat(roots, 10, 0).astype(np.float32)

    return Irradiance(spread(light.diffuse), spread(light.gradient), spread(light.visible))


@dataclasses.dataclass(frozen=True, eq=False)
class _Solids:
    """Head, eyes and shirt; fields as in SampleScene."""

    vertices: np.ndarray
    triangles: np.ndarray
    material: np.ndarray
    uvs: np.ndarray
    normals: np.ndarray


def _solids(person: SamplePerson, skin: np.ndarray, centres: np.ndarray, rotation: np.ndarray) -> _Solids:
    """Everything but hair, for a posed skin (V2, 3), eye centres (2, 3) and the rotation of the look."""
    ball, ball_triangles = _eyeball()
    shirt, shirt_triangles = shirt_mesh()
    material = _head_material(person)
    kept = material != 255
    eyes = [(centre + ball @ rotation.T, ball_triangles) for centre in centres]
    blocks = [(skin, person.fine.triangles[kept]), *eyes, (shirt, shirt_triangles)]
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in blocks])
    vertices = np.concatenate([vertices for vertices, _ in blocks])
    triangles = np.concatenate([t + start for (_, t), start in zip(blocks, starts[:-1], strict=True)]).astype(np.int32)
    others = np.repeat([EYE, SHIRT], [2 * len(ball_triangles), len(shirt_triangles)])
    uvs = np.zeros((len(triangles), 3, 2), np.float32)
    uvs[: kept.sum()] = _fine_uvs()[kept]
    materials = np.concatenate([material[kept], others]).astype(np.uint8)
    return _Solids(vertices, triangles, materials, uvs, vertex_normals(vertices, triangles))


def _cast_light(solids: _Solids, num_skin: int) -> Irradiance:
    scene = RayScene(solids.vertices, solids.triangles)
    return _scatter(cast_irradiance(scene, solids.vertices, solids.normals, room_rig()), num_skin)


def solid_light(expression: Expression) -> Irradiance:
    """Light on head, eyes and shirt with an expression: what build_scene takes as `light`."""
    person = load_person()
    skin = pose_skin(person, expression)
    return _cast_light(_solids(person, skin, eye_centres(person), np.eye(3)), len(skin))


def _turned_eyes(light: Irradiance, num_skin: int, rotation: np.ndarray) -> Irradiance:
    """Light cast with the eyes straight ahead, for turned eyes: shadows of the lids stay where the lids are."""
    ball = _eyeball()[0]
    nearest = np.asarray(KDTree(ball).query(ball @ rotation.T)[1])
    order = np.arange(len(light.diffuse))
    for start in (num_skin, num_skin + len(ball)):
        order[start : start + len(ball)] = start + nearest
    return Irradiance(light.diffuse[order], light.gradient[order], light.visible[order])


def build_scene(
    expression: Expression, *, num_hairs: int = 60000, gaze_deg: tuple[float, float] = (0.0, 0.0), light: Irradiance | None = None
) -> SampleScene:
    """The posed person with clothes and hair.

    Args:
        expression: what the face does.
        num_hairs: tries on the scalp; about half of them grow.
        gaze_deg: yaw and pitch of the look relative to the head.
        light: `solid_light` of a similar expression, to use instead of casting shadow rays anew.
    """
    person = load_person()
    skin = pose_skin(person, expression)
    centres, rotation = eye_centres(person), gaze_rotation(*gaze_deg)
    solids = _solids(person, skin, centres, rotation)
    light = _cast_light(solids, len(skin)) if light is None else _turned_eyes(light, len(skin), rotation)
    strands = grow_strands(num_hairs)
    triangles = person.fine.triangles
    vertices = np.concatenate([solids.vertices, strands.vertices(skin, triangles)])
    own = strands.triangles()
    faces = np.concatenate([solids.triangles, own + len(solids.vertices)])
    roots = np.einsum("sk,skc->sc", strands.root_barycentric, solids.normals[triangles[strands.root_triangle]])
    # Brows and lashes are thin enough to be lit along their whole length.
    along = np.where(np.repeat(strands.kind, 10) == 0, np.tile(np.repeat(np.linspace(0, 1, 5), 2), len(strands.kind)), 1.0)

    def beside(values: np.ndarray) -> np.ndarray:
        """Values of strand vertices after zeros for the solids."""
        return np.concatenate([np.zeros((len(solids.vertices), *values.shape[1:]), np.float32), values.astype(np.float32)])

    return SampleScene(
        vertices=vertices,
        triangles=faces,
        material=np.concatenate([solids.material, np.full(len(own), HAIR, np.uint8)]),
        uvs=np.concatenate([solids.uvs, np.zeros((len(own), 3, 2), np.float32)]),
        normals=np.concatenate([solids.normals, np.repeat(roots, 10, 0)]),
        tangents=beside(np.repeat(strands.tangents.reshape(-1, 3), 2, 0)),
        colour_linear=beside(np.repeat(strands.colour_linear, 10, 0)),
        along=beside(along),
        irradiance=_joined(light, _of_strands(light, strands, triangles)),
        eye_centres=centres,
        gaze=rotation,
        rays=RayScene(vertices, faces),
    )


def _joined(first: Irradiance, second: Irradiance) -> Irradiance:
    return Irradiance(*(np.concatenate([getattr(first, f.name), getattr(second, f.name)]) for f in dataclasses.fields(Irradiance)))
