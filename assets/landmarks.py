"""Where a landmark scheme's points lie on a head's surface."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from assets.detector_model import DetectorModel, load_detector_model
from assets.errors import MissingAssetError, ShapeError
from assets.head_model import PARTS, HeadModel
from assets.landmark_schemes import scheme_points, scheme_size, scheme_table

SPREAD_FACTOR = 0.833
"""From the root of a covariance's trace to the median length: that of a round Gaussian is 1.177 standard deviations."""

NEIGHBOURHOOD_M = 0.02
"""Triangles further than this from the mean of some points are not looked at for its place on the surface."""


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkEmbedding:
    """Each landmark as a point on a triangle, from a detector's calibration on the head (recon/calibrate.py)."""

    scheme: str
    """One of assets.landmark_schemes.SCHEMES."""
    topology_hash: str
    """HeadModel.topology_hash of the head that it belongs to."""
    triangle_index: np.ndarray
    """(L,) int32 into HeadModel.triangles."""
    barycentric: np.ndarray
    """(L, 3) float32, sums to 1."""
    spread_mm: np.ndarray
    """(L,) float32: typical distance of the detector's point from this one, in mm in frontal pictures; inf where never seen."""

    def points(self, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """(L, 3) positions on posed vertices (V, 3)."""
        corners = vertices[triangles[self.triangle_index]]
        return np.einsum("lk,lkc->lc", self.barycentric.astype(vertices.dtype), corners)


def load_embedding(head: HeadModel, scheme: str = "mediapipe478", *, folder: Path | None = None) -> LandmarkEmbedding:
    """The landmarks of a scheme on a head, subdivided or not: where the detector sees them from the front.

    Taken from the frontal bin (|yaw| <= 15 degrees) of the head's calibration with the bundled detector, or with `tasks` where
    there is no other; of `folder` alone where one is given. A point that is the mean of several of mediapipe478 becomes the
    surface point nearest to their mean on the average head. Raises RangeError for an unknown scheme, MissingAssetError where the
    head's topology was never calibrated, ArtifactError or ShapeError where the file does not fit the head.
    """
    scheme_table(scheme)
    try:
        model = load_detector_model(head, "bundled", folder=folder)
    except MissingAssetError as missing:
        try:
            model = load_detector_model(head, "tasks", folder=folder)
        except MissingAssetError:
            raise missing from None
    return embedding_of(head, model, scheme)


def embedding_of(head: HeadModel, model: DetectorModel, scheme: str = "mediapipe478") -> LandmarkEmbedding:
    """The landmarks of a scheme from a calibration on the same topology, at yaw 0."""
    frontal = len(model.yaw_bins_deg) // 2
    spread_mm = SPREAD_FACTOR * np.sqrt(np.trace(model.covariance_mm2[frontal], axis1=1, axis2=2))
    spread_mm = np.where(model.detection_rate[frontal] > 0, spread_mm, np.inf)
    index, barycentric = model.triangle_index[frontal], model.barycentric[frontal]
    if scheme != "mediapipe478":
        index, barycentric = _places_of_means(head, model.points(head.vertices, head.triangles, 0.0), index, barycentric, scheme)
        spread_mm = scheme_points(scheme, spread_mm[:, None])[:, 0]
    embedding = LandmarkEmbedding(scheme, model.topology_hash, index, barycentric.astype(np.float32), spread_mm.astype(np.float32))
    return check_embedding(embedding, len(head.triangles))


def _places_of_means(
    head: HeadModel, points: np.ndarray, index: np.ndarray, barycentric: np.ndarray, scheme: str
) -> tuple[np.ndarray, np.ndarray]:
    """Triangles (L,) and barycentrics (L, 3) of a scheme whose points are single ones of 478 or means of several."""
    sources = scheme_table(scheme).sources
    places = [(index[source[0]], barycentric[source[0]]) for source in sources]
    skin = np.flatnonzero(head.triangle_parts == PARTS.index("skin"))
    for row, mean in enumerate(scheme_points(scheme, points)):
        if len(sources[row]) > 1:
            near = skin[np.linalg.norm(head.vertices[head.triangles[skin]].mean(1) - mean, axis=1) < NEIGHBOURHOOD_M]
            chosen, weights = closest_on_triangles(mean.astype(np.float64), head.vertices[head.triangles[near]].astype(np.float64))
            places[row] = (near[chosen], weights)
    return np.array([place[0] for place in places], np.int32), np.array([place[1] for place in places], np.float32)


def closest_on_triangles(point: np.ndarray, corners: np.ndarray) -> tuple[int, np.ndarray]:
    """Index of the triangle (T, 3, 3) that comes nearest to a point (3,), and the barycentrics (3,) of the nearest place on it.

    In a triangle's plane where the foot of the perpendicular lies inside, else on the nearest side. Flat triangles are sides only.
    """
    a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    gram = np.stack([np.stack([(ab * ab).sum(1), (ab * ac).sum(1)], -1), np.stack([(ab * ac).sum(1), (ac * ac).sum(1)], -1)], -1)
    right = np.stack([(ab * (point - a)).sum(1), (ac * (point - a)).sum(1)], -1)
    flat = np.linalg.det(gram) < 1e-20
    gram[flat] = np.eye(2)
    foot = np.linalg.solve(gram, right[..., None])[..., 0]
    candidates = [np.stack([1 - foot.sum(1), foot[:, 0], foot[:, 1]], -1)]
    for start, end in ((0, 1), (1, 2), (2, 0)):
        side = corners[:, end] - corners[:, start]
        share = np.clip(((point - corners[:, start]) * side).sum(1) / np.maximum((side * side).sum(1), 1e-20), 0, 1)
        weights = np.zeros((len(corners), 3))
        weights[:, start], weights[:, end] = 1 - share, share
        candidates.append(weights)
    weights = np.stack(candidates)
    distance = np.linalg.norm(np.einsum("stk,tkc->stc", weights, corners) - point, axis=-1)
    distance[0, flat | (candidates[0] < 0).any(1)] = np.inf
    side, triangle = np.unravel_index(distance.argmin(), distance.shape)
    return int(triangle), weights[side, triangle]


def check_embedding(embedding: LandmarkEmbedding, num_triangles: int) -> LandmarkEmbedding:
    """Returns the embedding after checking its arrays against the scheme and the number of triangles; else ShapeError."""
    count, wanted = len(embedding.triangle_index), scheme_size(embedding.scheme)
    index, weights = embedding.triangle_index, embedding.barycentric
    sound = (
        count == wanted
        and weights.shape == (count, 3)
        and embedding.spread_mm.shape == (count,)
        and (count == 0 or (index.min() >= 0 and index.max() < num_triangles))
        and bool((embedding.spread_mm >= 0).all())  # Never nan: what was never seen is inf.
        and bool(np.isfinite(weights).all())
        and bool(np.allclose(weights.sum(1), 1.0, atol=1e-4))
    )
    if not sound:
        least = embedding.spread_mm.min(initial=np.inf)
        raise ShapeError(
            expected=f"{wanted} {embedding.scheme} landmarks on {num_triangles} triangles, weights that sum to 1, spread_mm of 0 or more",
            got=f"triangle_index {index.shape}, barycentric {weights.shape}, spread_mm {embedding.spread_mm.shape} from {least}",
            do="calibrate the head anew",
        )
    return embedding
