"""Shape of a stand-in: a head model's identity, displaced where no basis reaches, one or two Loop steps finer than the model."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
from scipy.interpolate import RBFInterpolator

from assets.head_model import PARTS, REGIONS, HeadModel
from assets.heads import load_head
from assets.landmarks import load_embedding
from assets.loop_subdivision import Subdivision, loop_step, loop_subdivision
from benchmarks.stand_in_specs import Dent, PersonSpec
from studio.sample_noise import bump, noise, smoothstep
from studio.sample_shape import personal_skeptic_mm, personal_smile_mm, vertex_normals

_STEPS = {"anny": 2, "ict": 1}
"""Loop steps to triangles of 1 to 2 mm."""


@dataclasses.dataclass(frozen=True, eq=False)
class StandInPerson:
    """A person at rest, with what poses it."""

    spec: PersonSpec
    head: HeadModel
    fine: Subdivision
    """What is rendered."""
    truth: Subdivision
    """One Loop step: the ground truth; its vertices are the first ones of `fine`."""
    atlas_mm: np.ndarray
    """(V2, 3) float64: fine vertices on the default head's average, mm: where pigment and dents are looked up."""
    identity_neutral: np.ndarray
    """(V, 3) float32 metres: the identity within the basis."""
    offsets: np.ndarray
    """(V2, 3) float64 metres: displacement beyond the basis, at rest."""

    @property
    def num_truth(self) -> int:
        """Vertices of the ground truth, eyes and teeth included."""
        return int(self.truth.matrix.get_shape()[0])

    def fine_is_skin(self) -> np.ndarray:
        """(V2,) 1 where a fine vertex is skin, else 0."""
        share = self.fine.matrix @ (self.head.vertex_parts == PARTS.index("skin")).astype(np.float64)
        return (share > 0.5).astype(np.float64)

    @property
    def fine_parts(self) -> np.ndarray:
        """Part of each fine triangle."""
        return np.tile(self.head.triangle_parts, len(self.fine.triangles) // len(self.head.triangles))


@functools.lru_cache(maxsize=2)
def make_person(spec: PersonSpec) -> StandInPerson:
    """The person of a spec; deterministic."""
    head = load_head(spec.head)
    rng = np.random.default_rng(spec.seed)
    coeffs = spec.identity_scale * rng.standard_normal(head.num_identity)
    limit = max(1.8, 1.6 * spec.identity_scale)
    coeffs = np.clip(coeffs, -limit, limit).astype(np.float32)
    fine = loop_subdivision(head.triangles, head.num_vertices, steps=_STEPS[spec.head])
    truth = loop_step(head.triangles, head.num_vertices)
    atlas_mm = fine.matrix @ atlas_of(spec.head)
    neutral = head.neutral(coeffs)
    rest = fine.matrix @ neutral.astype(np.float64)
    offsets_mm = dents_mm(atlas_mm, spec.dents) + _relief_mm(atlas_mm, spec) * vertex_normals(rest, fine.triangles)
    offsets_mm *= _protected(head, fine, atlas_mm)[:, None]
    offsets_mm += _grown_ears(head, fine, rest, spec.ear_grow)
    return StandInPerson(spec, head, fine, truth, atlas_mm, neutral, offsets_mm * 1e-3)


def pose_person(person: StandInPerson, weights: Mapping[str, float], *, smile: float = 0.0, skeptic: float = 0.0) -> np.ndarray:
    """(V2, 3) float64 metres, head frame: the fine mesh with an expression.

    `smile` and `skeptic` are the strengths of folds and pulls that are the person's own, beyond the model's shapes.
    """
    head = person.head
    known = {name: weight for name, weight in weights.items() if name not in head.absent_blendshapes}
    control = person.identity_neutral + head.expression_offsets(known)
    fine = person.fine.matrix @ control.astype(np.float64) + person.offsets
    if smile or skeptic:
        normals = vertex_normals(fine, person.fine.triangles)
        own = smile * personal_smile_mm(person.atlas_mm, normals) + skeptic * personal_skeptic_mm(person.atlas_mm, normals)
        fine = fine + 1e-3 * own * person.fine_is_skin()[:, None]
    return fine


def atlas_of(name: str) -> np.ndarray:
    """(V, 3) float64 mm: where each vertex of a head model lies on the default head's average.

    A thin-plate spline through points that both heads have: landmarks, eyeballs, ears, crown and neck.
    """
    head, default = load_head(name), load_head("anny")
    points = head.vertices.astype(np.float64) * 1e3
    if name == "anny":
        return points
    warp = RBFInterpolator(_anchors(head), _anchors(default), kernel="thin_plate_spline", smoothing=2.0)
    return warp(points)


def _anchors(head: HeadModel) -> np.ndarray:
    """(N, 3) mm points of one meaning on every head's average."""
    landmarks = load_embedding(head).points(head.vertices, head.triangles)[:468:3]
    eyes = head.eye_centres()
    extremes = []
    for region, axes in (("ears", (0, 1, 2)), ("scalp", (1, 2)), ("neck", (1,))):
        points = head.vertices[head.vertex_regions == REGIONS.index(region)]
        for side in (points[points[:, 0] > 0.01], points[points[:, 0] < -0.01]):
            extremes += [np.array([side[np.argsort(s * side[:, axis])[:12]].mean(0) for s in (-1, 1)]) for axis in axes]
    return np.concatenate([landmarks, eyes, *extremes]) * 1e3


def dents_mm(atlas_mm: np.ndarray, dents: tuple[Dent, ...]) -> np.ndarray:
    """(N, 3) sum of the displacements at places on the atlas."""
    total = np.zeros_like(atlas_mm)
    for dent in dents:
        d = (atlas_mm - np.asarray(dent.place_mm)) / np.asarray(dent.radius_mm)
        total += np.exp(-0.5 * np.einsum("nk,nk->n", d, d))[:, None] * np.asarray(dent.shift_mm)
    return total


def _relief_mm(atlas_mm: np.ndarray, spec: PersonSpec) -> np.ndarray:
    """(N, 1) displacement along the normal: broad unevenness and medium bumps."""
    rough = (
        noise(atlas_mm, 60, seed=spec.seed + 1) + 0.5 * noise(atlas_mm, 25, seed=spec.seed + 2) + 0.1 * noise(atlas_mm, 9, seed=spec.seed)
    )
    return (spec.relief_mm * rough * smoothstep(-165, -125, atlas_mm[:, 1]))[:, None]


def _protected(head: HeadModel, fine: Subdivision, atlas_mm: np.ndarray) -> np.ndarray:
    """(V2,) 0 inside the head, at lid rims and where lips meet, where a bump would open a gap or cut into an eyeball; else 1."""
    keep = np.ones(len(atlas_mm))
    for x in (31.3, -31.3):
        keep *= smoothstep(17.0, 24.0, np.linalg.norm(atlas_mm - (x, 0, 0), axis=1))
    for x in (9.0, -9.0):
        keep *= 1 - bump(atlas_mm, (x, -48, 24), 6)
    mouth = np.linalg.norm((atlas_mm - (0, -73, 22)) / (29, 9, 24), axis=1)
    is_skin = fine.matrix @ (head.vertex_parts == PARTS.index("skin")).astype(np.float64)
    return keep * smoothstep(0.9, 1.5, mouth) * (is_skin > 0.5)


def _grown_ears(head: HeadModel, fine: Subdivision, rest: np.ndarray, grow: tuple[float, float]) -> np.ndarray:
    """(V2, 3) mm: each ear scaled about the middle of its root, fading out into the head."""
    is_ear = fine.matrix @ (head.vertex_regions == REGIONS.index("ears")).astype(np.float64)
    total = np.zeros_like(rest)
    for factor, sign in zip(grow, (1.0, -1.0), strict=True):
        own = np.clip(is_ear, 0, 1) * (sign * rest[:, 0] > 0.03)
        if factor == 1.0 or not own.any():
            continue
        root = np.average(rest, axis=0, weights=own)
        root[0] = sign * np.quantile(sign * rest[own > 0.5][:, 0], 0.1)
        total += (own * (factor - 1) * 1e3)[:, None] * (rest - root)
    return total


def face_vertices(person: StandInPerson) -> np.ndarray:
    """(N,) int32: truth vertices of the face region."""
    share = person.truth.matrix @ (person.head.vertex_regions == REGIONS.index("face")).astype(np.float64)
    return np.flatnonzero(share > 0.5).astype(np.int32)
