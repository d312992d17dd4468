"""A stand-in before the camera: skin, eyes, teeth, shirt, hair and beard as one triangle soup with light at its vertices."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse as sp

from assets.head_model import PARTS
from benchmarks.stand_in_people import StandInPerson, pose_person
from benchmarks.stand_in_skin import beard_growth
from render.rasterize.embree import RayScene
from studio.sample_light import Irradiance, cast_irradiance, room_rig
from studio.sample_noise import noise, smoothstep
from studio.sample_scene import EYE, HAIR, MOUTH, SHIRT, SKIN, TEETH, SampleScene, gaze_rotation, shirt_mesh
from studio.sample_shape import vertex_normals
from studio.sample_skin import hairline_distance_mm

_MATERIALS = {
    "skin": SKIN,
    "eye_left": EYE,
    "eye_right": EYE,
    "teeth_upper": TEETH,
    "teeth_lower": TEETH,
    "tongue": MOUTH,
    "mouth_socket": MOUTH,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Pose:
    """What the person does."""

    weights: dict[str, float]
    smile: float = 0.0
    skeptic: float = 0.0
    gaze_deg: tuple[float, float] = (0.0, 0.0)


def posed(person: StandInPerson, pose: Pose) -> np.ndarray:
    """(V2, 3) metres, head frame."""
    return pose_person(person, pose.weights, smile=pose.smile, skeptic=pose.skeptic)


def build_stand_in_scene(
    person: StandInPerson, pose: Pose, *, R_light_head: np.ndarray | None = None, light: Irradiance | None = None
) -> SampleScene:
    """The posed person in the frame of the light, which is the head frame unless `R_light_head` (3, 3) turns it.

    `light` is the irradiance of an earlier scene of the same person in a similar pose, to use instead of casting shadows anew.
    """
    skin = posed(person, pose)
    turn = np.eye(3) if R_light_head is None else R_light_head
    shirt, shirt_triangles = shirt_mesh()
    shell, shell_triangles, coat = _shell(person, skin)
    blocks = [(skin, *_head_triangles(person)), (shell, shell_triangles, np.full(len(shell_triangles), HAIR))]
    blocks.append((shirt, shirt_triangles, np.full(len(shirt_triangles), SHIRT)))
    starts = np.cumsum([0] + [len(vertices) for vertices, *_ in blocks])
    vertices = np.concatenate([vertices for vertices, *_ in blocks]) @ turn.T
    triangles = np.concatenate([t + start for (_, t, _), start in zip(blocks, starts[:-1], strict=True)]).astype(np.int32)
    normals = vertex_normals(vertices, triangles)
    rays = RayScene(vertices, triangles)
    if light is None:
        light = _scattered(cast_irradiance(rays, vertices, normals, room_rig()), person)
    uvs = np.zeros((len(triangles), 3, 2), np.float32)
    head_uvs = _fine_uvs(person)
    uvs[: len(head_uvs)] = head_uvs
    own = slice(starts[1], starts[2])
    tangents, colour, along = (np.zeros((len(vertices), *shape), np.float32) for shape in ((3,), (3,), ()))
    tangents[own], colour[own], along[own] = coat.tangents @ turn.T, coat.colour, coat.along
    return SampleScene(
        vertices=vertices,
        triangles=triangles,
        material=np.concatenate([m for *_, m in blocks]).astype(np.uint8),
        uvs=uvs,
        normals=normals,
        tangents=tangents,
        colour_linear=colour,
        along=along,
        irradiance=light,
        eye_centres=eye_centres(person) @ turn.T,
        gaze=turn @ gaze_rotation(*pose.gaze_deg),
        rays=rays,
    )


def eye_centres(person: StandInPerson) -> np.ndarray:
    """(2, 3) metres, head frame."""
    return person.head.eye_centres(person.identity_neutral).astype(np.float64)


def _drawn(person: StandInPerson) -> tuple[np.ndarray, np.ndarray]:
    """(16F,) which fine head triangles are drawn, and their materials."""
    by_part = np.array([_MATERIALS.get(part, 255) for part in PARTS])
    material = by_part[person.fine_parts]
    below = (person.atlas_mm[person.fine.triangles][:, :, 1] < -190).all(1)
    return (material != 255) & ~below, material


def _head_triangles(person: StandInPerson) -> tuple[np.ndarray, np.ndarray]:
    keep, material = _drawn(person)
    return person.fine.triangles[keep], material[keep]


def _fine_uvs(person: StandInPerson) -> np.ndarray:
    """(T, 3, 2) float32 UV of the drawn fine corners: midpoints in the coarse triangle's chart."""
    uvs = person.head.uvs[person.head.triangle_uvs]
    while len(uvs) < len(person.fine.triangles):
        a, b, c = uvs[:, 0], uvs[:, 1], uvs[:, 2]
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        uvs = np.concatenate([np.stack(child, 1) for child in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return uvs.astype(np.float32)[_drawn(person)[0]]


@dataclasses.dataclass(frozen=True, eq=False)
class _Coat:
    """How the vertices of hair and beard look."""

    tangents: np.ndarray
    colour: np.ndarray
    along: np.ndarray


def _shell(person: StandInPerson, skin: np.ndarray) -> tuple[np.ndarray, np.ndarray, _Coat]:
    """Vertices, triangles and looks of hair and beard: the skin lifted along its normals, sunk below it where nothing grows."""
    spec, p = person.spec, person.atlas_mm
    lift_mm, cover = _lift_mm(person)
    used = (cover[person.fine.triangles] > 0.02).all(1) & (person.fine_parts == PARTS.index("skin"))
    if not used.any():
        return np.zeros((0, 3)), np.zeros((0, 3), np.int32), _Coat(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))
    kept, index = np.unique(person.fine.triangles[used], return_inverse=True)
    normals = vertex_normals(skin, person.fine.triangles)[kept]
    q = p[kept]
    strands = noise(q * (1.0, 0.22, 0.6), 3.2, seed=spec.seed + 31)
    vertices = skin[kept] + 1e-3 * (lift_mm[kept] + 0.5 * cover[kept] * strands)[:, None] * normals
    down = np.stack([0.2 * q[:, 0] / 80, -np.ones(len(q)), 0.3 * np.ones(len(q))], 1) + 0.3 * np.stack(
        [noise(q, 14, seed=s) for s in (1, 2, 3)], 1
    )
    tangents = down - (down * normals).sum(1, keepdims=True) * normals
    tone = np.array([0.050, 0.033, 0.022]) * np.exp(0.35 * strands + 0.2 * noise(q, 1.6, seed=spec.seed + 32))[:, None]
    along = np.clip(0.45 + 0.3 * strands + 0.3 * cover[kept], 0, 1)
    return vertices, index.reshape(-1, 3).astype(np.int32), _Coat(tangents, tone, along)


def _lift_mm(person: StandInPerson) -> tuple[np.ndarray, np.ndarray]:
    """(V2,) height of hair and beard over the skin in mm, and (V2,) cover 0..1."""
    spec, p = person.spec, person.atlas_mm
    hair = smoothstep(-3, 9, hairline_distance_mm(p)) * (spec.hair_mm > 0)
    beard = beard_growth(p + 1.5 * np.stack([noise(p, 7, seed=s) for s in (4, 5, 6)], 1)) * (spec.beard_mm > 0)
    top = 0.55 + 0.45 * smoothstep(0, 80, p[:, 1])
    rough = 1 + 0.22 * noise(p, 35, seed=spec.seed + 33) + 0.10 * noise(p, 12, seed=spec.seed + 34)
    height = rough * (spec.hair_mm * top * hair**0.7 + spec.beard_mm * beard**0.8)
    return height - 0.6, np.maximum(hair, beard)


def _scattered(light: Irradiance, person: StandInPerson) -> Irradiance:
    """Blur over the skin: light bleeds a little below it, red farthest."""
    triangles, count = person.fine.triangles, len(person.atlas_mm)
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    both = np.concatenate([sides, sides[:, ::-1]])
    graph = sp.csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(count, count))
    degree = np.asarray(graph.sum(1)).ravel()
    smooth = sp.csr_matrix(0.4 * sp.identity(count) + sp.diags(0.6 / np.maximum(degree, 1)) @ graph)
    diffuse, visible = light.diffuse.copy(), light.visible.copy()
    for channel, rounds in ((0, 4), (1, 2), (2, 1)):
        for _ in range(rounds):
            diffuse[:count, channel] = smooth @ diffuse[:count, channel]
    visible[:count] = smooth @ visible[:count]
    return Irradiance(diffuse, light.gradient, visible)
