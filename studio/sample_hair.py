"""Hair, brows and lashes of the sample person as thin ribbons that grow from the skin."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from render.rasterize.embree import RayScene
from studio.sample_noise import noise, smoothstep
from studio.sample_shape import EXPRESSIONS, SamplePerson, eye_centres, load_person, pose_skin, vertex_normals
from studio.sample_skin import brow_line, hairline_distance_mm

_STATIONS = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Strands:
    """Ribbons of five stations each, at rest."""

    root_triangle: np.ndarray
    """(S,) int32 fine triangle that each strand grows from."""
    root_barycentric: np.ndarray
    """(S, 3) float64."""
    offsets: np.ndarray
    """(S, 5, 2, 3) float64 metres from the root: left and right border of each station."""
    tangents: np.ndarray
    """(S, 5, 3) float64 unit, along the strand."""
    colour_linear: np.ndarray
    """(S, 3) float32."""
    kind: np.ndarray
    """(S,) uint8: 0 hair, 1 brow, 2 lash."""

    def triangles(self) -> np.ndarray:
        """(S * 8, 3) int32 over the vertices of `vertices`, strand by strand."""
        station = np.arange(_STATIONS - 1)[:, None] * 2
        quad = np.concatenate([station + (0, 1, 3), station + (0, 3, 2)], 1).reshape(-1, 3)
        return (np.arange(len(self.kind))[:, None, None] * (2 * _STATIONS) + quad).reshape(-1, 3).astype(np.int32)

    def vertices(self, skin: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """(S * 10, 3) metres on a posed skin (V2, 3): strands follow their roots."""
        roots = np.einsum("sk,skc->sc", self.root_barycentric, skin[triangles[self.root_triangle]])
        return (roots[:, None, None] + self.offsets).reshape(-1, 3)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


@dataclasses.dataclass(frozen=True, eq=False)
class _Growth:
    """What one patch of strands needs before it is bent."""

    triangle: np.ndarray
    barycentric: np.ndarray
    normal: np.ndarray
    comb: np.ndarray
    length_mm: np.ndarray
    lift: np.ndarray
    """(S,) 0 lies on the skin, 1 stands up at the root."""
    curl: np.ndarray
    """(S,) how far the tip bends back towards the skin."""
    width_mm: float
    colour: np.ndarray
    kind: int


def _bend(growth: _Growth, rng: np.random.Generator) -> Strands:
    """Parabolic strands: they leave the skin at an angle and bend over into the comb direction."""
    s = np.linspace(0, 1, _STATIONS)[None, :, None]
    comb = _unit(growth.comb - np.einsum("sk,sk->s", growth.comb, growth.normal)[:, None] * growth.normal)[:, None]
    up = growth.normal[:, None]
    lift, curl = growth.lift[:, None, None], growth.curl[:, None, None]
    length = growth.length_mm[:, None, None] * 1e-3
    path = length * (comb * s * (1 - 0.35 * lift * (1 - s)) + up * (lift * s - curl * s * s))
    tangents = _unit(np.gradient(path, axis=1))
    roll = rng.uniform(-1.1, 1.1, len(growth.normal))[:, None, None]
    flat = _unit(np.cross(tangents, np.broadcast_to(up, tangents.shape)))
    across = np.cos(roll) * flat + np.sin(roll) * np.cross(flat, tangents)
    half = 0.5e-3 * growth.width_mm * (1 - 0.75 * s**1.5)
    offsets = np.stack([path - half * across, path + half * across], 2)
    kind = np.full(len(growth.normal), growth.kind, np.uint8)
    return Strands(growth.triangle.astype(np.int32), growth.barycentric, offsets, tangents, growth.colour.astype(np.float32), kind)


def _surface(person: SamplePerson, triangle: np.ndarray, barycentric: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.einsum("sk,skc->sc", barycentric, values[person.fine.triangles[triangle]])


def _tones(rng: np.random.Generator, count: int, base: tuple[float, float, float]) -> np.ndarray:
    return np.asarray(base) * np.exp(rng.normal(0, 0.28, count))[:, None] * (1 + rng.normal(0, 0.05, (count, 3)))


def _scalp(person: SamplePerson, normals: np.ndarray, rng: np.random.Generator, count: int) -> _Growth:
    """Short dark hair, combed forwards and to the left on top, downwards at the sides."""
    skin = np.flatnonzero(person.fine_parts == 1)
    corners = person.atlas_mm[person.fine.triangles[skin]]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    area *= hairline_distance_mm(corners.mean(1)) > -8
    triangle = skin[rng.choice(len(skin), count, p=area / area.sum())]
    barycentric = rng.dirichlet(np.ones(3), count)
    p = _surface(person, triangle, barycentric, person.atlas_mm)
    inside = hairline_distance_mm(p)
    grow = rng.random(count) < smoothstep(-5, 11, inside)
    triangle, barycentric, p, inside = triangle[grow], barycentric[grow], p[grow], inside[grow]
    top = smoothstep(35, 85, p[:, 1])
    comb = np.stack([0.75 * top + 0.1 * np.sign(p[:, 0]), -1.25 * (1 - top) - 0.1, 0.55 * top - 0.35 * (1 - top)], 1)
    comb += 0.34 * np.stack([noise(p, 24, seed=s) for s in (1, 2, 3)], 1) + rng.normal(0, 0.16, comb.shape)
    length = (8 + 15 * top) * (0.45 + 0.55 * smoothstep(-2, 16, inside)) * rng.uniform(0.65, 1.25, len(p))
    lift = 0.42 + 0.25 * top + rng.normal(0, 0.09, len(p))
    n = _unit(_surface(person, triangle, barycentric, normals))
    return _Growth(triangle, barycentric, n, comb, length, lift, 0.62 * lift, 0.30, _tones(rng, len(p), (0.034, 0.023, 0.017)), 0)


def _from_front(person: SamplePerson, skin: np.ndarray, xy_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangle and barycentric of the skin seen from the front at (S, 2) mm on the rest head, and whether it was hit."""
    own = np.flatnonzero(person.fine_parts == 1)
    scene = RayScene(skin.astype(np.float32), person.fine.triangles[own])
    origins = np.concatenate([xy_mm * 1e-3, np.full((len(xy_mm), 1), 0.3)], 1)
    hits = scene.cast(origins.astype(np.float32), np.tile([0.0, 0.0, -1.0], (len(origins), 1)))
    ok = hits.triangle_index >= 0
    return own[np.where(ok, hits.triangle_index, 0)], hits.barycentric.astype(np.float64), ok


def _brow(person: SamplePerson, normals: np.ndarray, rng: np.random.Generator, side: float, count: int) -> _Growth:
    """One brow: hairs stand up at the inner end, lie outwards in the middle and thin out at the tail."""
    line = brow_line(side)
    t = rng.beta(1.05, 1.25, count)
    at = t * (len(line) - 1)
    middle = np.stack([np.interp(at, np.arange(len(line)), line[:, k]) for k in range(2)], 1)
    across = rng.normal(0, 1, count) * (3.2 - 1.9 * t)
    xy = middle + np.stack([0.25 * side * across, across], 1)
    triangle, barycentric, ok = _from_front(person, person.atlas_mm * 1e-3, xy)
    triangle, barycentric, t, across = triangle[ok], barycentric[ok], t[ok], across[ok]
    steep = np.clip(1.15 - 2.1 * t, -0.35, 1.2) - 0.28 * across
    comb = np.stack([side * np.ones(len(t)), steep, np.full(len(t), -0.2)], 1) + rng.normal(0, 0.16, (len(t), 3))
    n = _unit(_surface(person, triangle, barycentric, normals))
    length = (6.0 - 1.8 * t) * rng.uniform(0.6, 1.2, len(t))
    lift = np.clip(0.22 + rng.normal(0, 0.06, len(t)), 0.08, 0.5)
    return _Growth(triangle, barycentric, n, comb, length, lift, 0.8 * lift, 0.16, _tones(rng, len(t), (0.034, 0.022, 0.016)), 1)


def _lid_margin(person: SamplePerson, rest: np.ndarray, eye: np.ndarray, upper: bool) -> tuple[np.ndarray, np.ndarray]:
    """Skin triangles and barycentrics along the lid margin of one eye, from its inner to its outer corner."""
    x, y = np.meshgrid(np.arange(-14.5, 14.6, 0.12), np.arange(-12, 12.1, 0.1))
    xy = np.stack([x, y], -1).reshape(-1, 2) + eye[:2] * 1e3
    triangle, barycentric, ok = _from_front(person, rest, xy)
    place = _surface(person, triangle, barycentric, rest)
    on_skin = ok & (np.linalg.norm(place - eye, axis=1) > 0.01515) & (place[:, 2] > eye[2])
    open_ = ~on_skin.reshape(x.shape)
    columns = np.flatnonzero(open_.any(0))
    rows = len(open_) - 1 - np.argmax(open_[::-1, columns], 0) + 1 if upper else np.argmax(open_[:, columns], 0) - 1
    index = np.clip(rows, 0, len(open_) - 1) * x.shape[1] + columns
    index = index[on_skin[index]]
    return triangle[index], barycentric[index]


def _lashes(person: SamplePerson, rest: np.ndarray, rng: np.random.Generator, eye: np.ndarray, upper: bool) -> _Growth:
    """Lashes of one lid: they leave forwards and curve away from the opening, longer towards the outer corner."""
    triangles, barycentrics = _lid_margin(person, rest, eye, upper)
    count = 150 if upper else 70
    t = np.sort(rng.uniform(0.06, 0.97, count))
    index = np.round(t * (len(triangles) - 1)).astype(int)
    triangle, barycentric = triangles[index], barycentrics[index]
    side = float(np.sign(eye[0]))
    outward = t if side > 0 else 1 - t
    up = 1.0 if upper else -1.0
    comb = np.stack([side * (1.5 * outward - 0.55), np.full(count, 0.8 * up), np.full(count, 0.75)], 1)
    comb += rng.normal(0, 0.13, comb.shape)
    normal = np.tile(_unit(np.array([0.0, -0.35 * up, 1.0])), (count, 1))
    length = (4.2 + 3.4 * outward if upper else 2.4 + 1.8 * outward) * rng.uniform(0.7, 1.1, count)
    colour = _tones(rng, count, (0.016, 0.012, 0.010))
    return _Growth(
        triangle, barycentric, normal, comb, length, np.full(count, 0.75), np.full(count, 0.45), 0.13 if upper else 0.10, colour, 2
    )


@functools.lru_cache(maxsize=2)
def grow_strands(num_hairs: int) -> Strands:
    """All strands of the sample person at rest; deterministic. `num_hairs` counts tries on the scalp."""
    person = load_person()
    rng = np.random.default_rng(777)
    rest = pose_skin(person, EXPRESSIONS["neutral"])
    normals = vertex_normals(rest, person.fine.triangles)
    eyes = eye_centres(person)
    growths = [_scalp(person, normals, rng, num_hairs)]
    growths += [_brow(person, normals, rng, side, 1100) for side in (1.0, -1.0)]
    growths += [_lashes(person, rest, rng, eye, upper) for eye in eyes for upper in (True, False)]
    parts = [_bend(growth, rng) for growth in growths]
    return Strands(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(Strands)))
