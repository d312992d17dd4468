"""A file with FLAME's keys, counts, dtypes and pickle dialect, and a head in it that is Anny's: nothing of FLAME itself.

What is known by construction, so that tests can check it by hand:
- the average is one of Anny's people (`template`), shifted and not centred on the eyes, as FLAME's is not;
- `JAW_OPEN_RAD` of jaw rotation with its corrective is exactly Anny's `jawOpen`;
- the expression directions span Anny's shapes except those of `OUTSIDE`; of those of `TWO_SIDED` only the sum of both sides.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from assets import ARKIT_BLENDSHAPES, HeadModel, load_head
from assets.head_model import PARTS
from tests.assets.flame_python2 import python2_pickle

NUM_VERTICES, NUM_TRIANGLES, NUM_SKIN = 5023, 9976, 3929
"""FLAME's counts; after the skin come two loose vertices at the eyes' centres, then the left and the right eyeball."""

JAW_OPEN_RAD = 0.3
OUTSIDE = ("eyeBlinkLeft", "eyeBlinkRight", "eyeWideLeft", "eyeWideRight", "cheekPuff", "jawOpen", "jawLeft", "jawRight", "tongueOut")
TWO_SIDED = ("mouthDimple", "browOuterUp")
SHIFT_M = np.array([0.0, 0.021, -0.013])
"""Where the midpoint of the eyes lies in the file's own frame."""

_RINGS, _SEGMENTS = 17, 32
_folder = tempfile.TemporaryDirectory(prefix="recon-flame-")


@functools.lru_cache(maxsize=1)
def flame_arrays() -> dict[str, np.ndarray]:
    """The file's arrays by FLAME's keys; J_regressor is dense here. Deterministic; never change them in place."""
    anny = load_head("anny")
    source, skin_triangles = _skin(anny)
    coeffs = np.random.default_rng(3).normal(size=anny.num_identity) * 0.6
    coeffs[[name.endswith("-left") for name in anny.identity_names]] = 0.0
    neutral = anny.neutral(coeffs).astype(np.float64)
    balls, ball_triangles = _eyeballs(anny, neutral)
    template = np.concatenate([neutral[source], anny.eye_centres(neutral), *balls])
    triangles = np.concatenate([skin_triangles, ball_triangles + NUM_SKIN + 2, ball_triangles + NUM_SKIN + 2 + 546])
    identity = np.stack([_carry(anny, source, mode) for mode in anny.identity_basis])
    shapes = {name: _carry(anny, source, delta, balls=False) for name, delta in zip(ARKIT_BLENDSHAPES, anny.blendshape_deltas, strict=True)}
    directions = [*_components(identity, 185), *_bumps(template, 115, 0.15e-3, 5)]
    directions += [*_components(_expression_rows(shapes), None)]
    directions += [*_bumps(template, 400 - len(directions), 0.05e-3, 6)]
    joints = np.array([[0, -0.13, -0.09], anny.neck_joint, [0, -0.03, -0.07], *anny.eye_centres(neutral)]) + SHIFT_M
    template = template + SHIFT_M
    weights = _weights(template, shapes["jawOpen"])
    arrays = {
        "v_template": template,
        "f": triangles.astype(np.uint32),
        "shapedirs": np.stack(directions, -1),
        "posedirs": _jaw_corrective(template, weights[:, 2], joints[2], shapes["jawOpen"]),
        "J_regressor": _regressor(template, joints),
        "weights": weights,
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
    }
    return {**arrays, "J": arrays["J_regressor"] @ template}


def make_flame_file(folder: Path, kind: str = "pkl") -> Path:
    """Writes a FLAME-shaped head: `generic_model.pkl` as Python 2 wrote FLAME 2020, or `flame2023.npz`; returns the path."""
    if kind == "npz":
        path = folder / "flame2023.npz"
        np.savez(path, **flame_arrays(), bs_style=np.array("lbs"), bs_type=np.array("lrotmin"))
        return path
    path = folder / "generic_model.pkl"
    path.write_bytes(python2_pickle(flame_arrays()))
    return path


@functools.lru_cache(maxsize=1)
def flame_path() -> Path:
    """A FLAME-shaped pickle in a folder of its own that goes when the tests end."""
    return make_flame_file(Path(_folder.name))


def _skin(anny: HeadModel) -> tuple[np.ndarray, np.ndarray]:
    """Anny's vertex of each of the 3929 skin vertices, and 7800 triangles: the skin without its mouth, thinned by edge collapses."""
    triangles = anny.triangles[anny.triangle_parts == PARTS.index("skin")].astype(np.int64)
    hem = anny.vertices[triangles, 1].max(1) > anny.vertices[:, 1].min() + 1e-3
    thinner = _Thinner(anny.vertices.astype(np.float64), triangles[hem], anny.mirror_vertices)
    front = anny.vertices[:, 2] > 0.0
    # By Euler's formula a sphere with two holes of 3929 vertices and 7800 triangles has 58 border edges.
    surplus = thinner.border_size() - 58
    thinner.collapse(6, border=True, allowed=front)
    thinner.collapse(surplus - 6, border=True, allowed=~front)
    inner = len(np.unique(thinner.triangles)) - NUM_SKIN
    thinner.collapse(inner, border=False, allowed=(anny.vertices[:, 2] < -0.06) & (anny.vertices[:, 1] > -0.1))
    used, compact = np.unique(thinner.triangles, return_inverse=True)
    return used, compact.reshape(-1, 3)


@dataclasses.dataclass
class _Thinner:
    """Collapses edges of a mesh onto one of their ends, each with its mirror image."""

    points: np.ndarray
    triangles: np.ndarray
    mirror: np.ndarray

    def collapse(self, count: int, *, border: bool, allowed: np.ndarray) -> None:
        """Removes `count` vertices, shortest edges first; an odd one out is taken without its mirror image."""
        while count > 0:
            wanted = count
            edges, uses = np.unique(np.sort(self._edges(), 1), axis=0, return_counts=True)
            rim = np.zeros(len(self.points), bool)
            rim[edges[uses == 1]] = True
            fits = allowed[edges].all(1) & ((uses == 1) if border else ~rim[edges].any(1))
            order = np.argsort(np.linalg.norm(self.points[edges[:, 0]] - self.points[edges[:, 1]], axis=1)[fits])
            touched = np.zeros(len(self.points), bool)
            for keep, drop in edges[fits][order]:
                if count and not touched[[keep, drop]].any() and self._pair(int(keep), int(drop), count, touched):
                    count -= 2 if count > 1 else 1
            assert count < wanted, f"no edge left to collapse, with {count} vertices to go"

    def border_size(self) -> int:
        return int((np.unique(np.sort(self._edges(), 1), axis=0, return_counts=True)[1] == 1).sum())

    def _pair(self, keep: int, drop: int, count: int, touched: np.ndarray) -> bool:
        other_keep, other_drop = int(self.mirror[keep]), int(self.mirror[drop])
        if count > 1 and {keep, drop} & {other_keep, other_drop}:
            return False
        before = self.triangles
        done = self._one(keep, drop) and (count == 1 or self._one(other_keep, other_drop))
        if not done:
            self.triangles = before
            return False
        near = self.triangles[np.isin(self.triangles, [keep, other_keep] if count > 1 else [keep]).any(1)]
        touched[near] = touched[[drop, other_drop]] = True
        return True

    def _one(self, keep: int, drop: int) -> bool:
        around = (self.triangles == drop).any(1)
        shared = around & (self.triangles == keep).any(1)
        common = np.intersect1d(self.triangles[around], self.triangles[(self.triangles == keep).any(1)])
        if len(common) != 2 + shared.sum():
            return False
        moved = np.where(self.triangles == drop, keep, self.triangles)
        change = around & ~shared
        if (np.einsum("ij,ij->i", self._normals(self.triangles[change]), self._normals(moved[change])) < 0.5).any():
            return False
        self.triangles = moved[~shared]
        return True

    def _edges(self) -> np.ndarray:
        return np.concatenate([self.triangles[:, [0, 1]], self.triangles[:, [1, 2]], self.triangles[:, [2, 0]]])

    def _normals(self, triangles: np.ndarray) -> np.ndarray:
        a, b, c = (self.points[triangles[:, k]] for k in range(3))
        normals = np.cross(b - a, c - a)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-15)


def _eyeballs(anny: HeadModel, neutral: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Two spheres of 546 vertices with their poles along z at Anny's eyeballs, and the 1088 triangles of one."""
    polar = np.arange(1, _RINGS + 1) / (_RINGS + 1) * np.pi
    turn = np.arange(_SEGMENTS) / _SEGMENTS * 2 * np.pi
    ring = np.stack(
        [np.outer(np.sin(polar), np.cos(turn)), np.outer(np.sin(polar), np.sin(turn)), np.outer(np.cos(polar), np.ones(_SEGMENTS))], -1
    )
    sphere = np.concatenate([[(0, 0, 1)], ring.reshape(-1, 3), [(0, 0, -1)]])
    here = np.arange(_SEGMENTS)
    after, last = (here + 1) % _SEGMENTS, len(sphere) - 1
    triangles = [np.stack([np.zeros_like(here), 1 + here, 1 + after], 1)]
    for row in range(_RINGS - 1):
        a, b = 1 + row * _SEGMENTS, 1 + (row + 1) * _SEGMENTS
        triangles += [np.stack([a + here, b + here, b + after], 1), np.stack([a + here, b + after, a + after], 1)]
    end = 1 + (_RINGS - 1) * _SEGMENTS
    triangles.append(np.stack([end + here, np.full_like(here, last), end + after], 1))
    balls = []
    for part, centre in zip(("eye_left", "eye_right"), anny.eye_centres(neutral), strict=True):
        radius = np.median(np.linalg.norm(neutral[anny.vertex_parts == PARTS.index(part)] - centre, axis=1))
        balls.append(centre + radius * sphere)
    return balls, np.concatenate(triangles)


def _carry(anny: HeadModel, source: np.ndarray, field: np.ndarray, *, balls: bool = True) -> np.ndarray:
    """(5023, 3) of a displacement of Anny's: its own on the skin, the eyeball's mean on each eyeball, or none there."""
    eyes = [field[anny.vertex_parts == PARTS.index(part)].mean(0) * balls for part in ("eye_left", "eye_right")]
    return np.concatenate([field[source], np.stack(eyes), *(np.tile(eye, (546, 1)) for eye in eyes)]).astype(np.float64)


def _expression_rows(shapes: dict[str, np.ndarray]) -> np.ndarray:
    """What the expression directions span, each row with a standard deviation of its own."""
    rows = []
    for name, shape in shapes.items():
        stem = name.removesuffix("Left").removesuffix("Right")
        if name in OUTSIDE or "Look" in name or (stem in TWO_SIDED and name.endswith("Right")):
            continue
        rows.append(shape + shapes[f"{stem}Right"] if stem in TWO_SIDED else shape)
    return np.stack(rows) * np.random.default_rng(4).uniform(0.2, 0.5, (len(rows), 1, 1))


def _components(rows: np.ndarray, count: int | None) -> np.ndarray:
    """Principal components, each for one standard deviation of independent unit weights of the rows."""
    _, scale, directions = np.linalg.svd(rows.reshape(len(rows), -1), full_matrices=False)
    return (scale[:, None] * directions)[:count].reshape(-1, *rows.shape[1:])


def _bumps(template: np.ndarray, count: int, height_m: float, seed: int) -> np.ndarray:
    """(count, 5023, 3) smooth fields of the skin: sums of six bumps 25 mm wide."""
    rng = np.random.default_rng(seed)
    centres = template[rng.integers(0, NUM_SKIN, (count, 6))]
    skin = template[:NUM_SKIN]
    square = (skin**2).sum(1)[:, None] - 2 * skin @ centres.reshape(-1, 3).T + (centres.reshape(-1, 3) ** 2).sum(1)
    falloff = np.exp(-np.maximum(square, 0) / (2 * 0.025**2)).reshape(NUM_SKIN, count, 6)
    field = np.einsum("vkb,kbd->kvd", falloff, rng.normal(size=(count, 6, 3))) * height_m
    return np.concatenate([field, np.zeros((count, NUM_VERTICES - NUM_SKIN, 3))], axis=1)


def _weights(template: np.ndarray, jaw_open: np.ndarray) -> np.ndarray:
    """(5023, 5) skinning weights of root, neck, jaw, left and right eye; each row sums to 1."""
    weights = np.zeros((NUM_VERTICES, 5))
    motion = np.linalg.norm(jaw_open, axis=1)
    weights[:, 2] = np.clip(motion / (0.75 * motion.max()), 0, 1)
    head = np.clip((template[:, 1] - SHIFT_M[1] + 0.16) / 0.06, 0, 1)
    weights[:, 1], weights[:, 0] = (1 - weights[:, 2]) * head, (1 - weights[:, 2]) * (1 - head)
    for joint, start in ((3, NUM_SKIN + 2), (4, NUM_SKIN + 548)):
        weights[start : start + 546] = np.eye(5)[joint]
    return weights


def _jaw_corrective(template: np.ndarray, weight: np.ndarray, joint: np.ndarray, jaw_open: np.ndarray) -> np.ndarray:
    """(5023, 3, 36) pose directions with which JAW_OPEN_RAD of the jaw ends exactly where Anny's jawOpen does."""
    rotation = Rotation.from_rotvec((JAW_OPEN_RAD, 0, 0)).as_matrix()
    blend = (1 - weight)[:, None, None] * np.eye(3) + weight[:, None, None] * rotation
    offset = weight[:, None] * (joint - rotation @ joint)
    rest = np.linalg.solve(blend, (template + jaw_open - offset)[..., None])[..., 0]
    feature = (rotation - np.eye(3)).ravel()
    directions = np.zeros((NUM_VERTICES, 3, 36))
    directions[:, :, 9:18] = (rest - template)[..., None] * (feature / (feature @ feature))
    return directions


def _regressor(template: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """(5, 5023): the eyes are their balls' means, the others weighted sums of 40 vertices that give the joint exactly."""
    regressor = np.zeros((5, NUM_VERTICES))
    regressor[3, NUM_SKIN + 2 : NUM_SKIN + 548] = regressor[4, NUM_SKIN + 548 :] = 1 / 546
    for row in range(3):
        near = np.argsort(np.linalg.norm(template[:NUM_SKIN] - joints[row], axis=1))[:400:10]
        system = np.concatenate([template[near].T, np.ones((1, len(near)))])
        regressor[row, near] = np.linalg.pinv(system) @ [*joints[row], 1.0]
    return regressor
