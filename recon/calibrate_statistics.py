"""How far the detector strays from its places and how often it finds them; both sides of the face as one model."""

from __future__ import annotations

import numpy as np

from assets.detector_model import DetectorModel
from assets.head_model import HeadModel
from recon.calibrate_places import Evidence, Places
from recon.calibrate_surfaces import closest_places, mirror_landmarks

OUTLIER_MM = 12.0
"""A detected point further from its place than this counts as not detected: it is a guess, and no measure of the noise."""

MIN_SIGHTINGS = 8.0
"""Bins with fewer pictures of a face than this keep the places of the bin before."""

FALLBACK_FACTOR = 4.0
"""On the covariance of such a bin."""

FLOOR_MM = 0.25
"""Standard deviation added to every landmark's: no detector is better than that."""


def deviations_mm(head: HeadModel, evidence: Evidence, places: Places, shares: np.ndarray) -> np.ndarray:
    """(N, 2, 478, 2) detected minus predicted of both rows of every picture, upright picture axes; nan where no face was found."""
    corners = head.triangles[places.triangle_index]
    predicted = np.zeros(evidence.detected_mm[:, 0].shape, np.float64)
    for b in range(shares.shape[1]):
        used = shares[:, b] > 0
        on_bin = np.einsum("lk,nlkc->nlc", places.barycentric[b], evidence.vertices_mm[used][:, corners[b]])
        predicted[used] += shares[used, b, None, None] * on_bin
    return evidence.detected_mm - predicted[:, None]


def spread_of(deviation_mm: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariance (B, 478, 2, 2) mm^2 about the place, and detection rate (B, 478), from deviations (N, 2, 478, 2).

    Each picture counts for a bin by its share (N, B) of it. Deviations beyond OUTLIER_MM, and pictures without a face, count
    against the rate and not into the covariance.
    """
    near = np.linalg.norm(np.nan_to_num(deviation_mm, nan=np.inf), axis=-1) <= OUTLIER_MM
    clean = np.where(near[..., None], deviation_mm, 0.0)
    weight = np.einsum("nb,nrl->bl", shares, near)
    total = np.einsum("nb,nrlc,nrld->blcd", shares, clean, clean, optimize=True)
    covariance = total / np.maximum(weight, 1e-9)[..., None, None]
    # A landmark that is never near its place has no covariance to measure: as wide as outliers are.
    covariance[weight < 1e-9] = np.eye(2) * OUTLIER_MM**2
    rate = weight / np.maximum(2 * shares.sum(0), 1e-9)[:, None]
    return covariance + FLOOR_MM**2 * np.eye(2), rate


def with_fallback(places: Places, covariance: np.ndarray, counts: np.ndarray) -> tuple[Places, np.ndarray]:
    """Bins (B,) with fewer pictures of a face than MIN_SIGHTINGS take the place of the bin before and a wider covariance of it."""
    index, barycentric, covariance = places.triangle_index.copy(), places.barycentric.copy(), covariance.copy()
    for b in range(1, len(counts)):
        if counts[b] < MIN_SIGHTINGS:
            index[b], barycentric[b] = index[b - 1], barycentric[b - 1]
            covariance[b] = FALLBACK_FACTOR * covariance[b - 1]
    return Places(index, barycentric), covariance


def both_sides(
    head: HeadModel, detector: str, bins_deg: np.ndarray, places: Places, covariance: np.ndarray, rate: np.ndarray
) -> DetectorModel:
    """The model of all yaws from bins (B,) of 0 and more: a landmark at -yaw is the mirror image of its partner at +yaw.

    At yaw 0 each landmark is averaged with its partner's mirror image, because the average head is symmetric.
    """
    partner, points = mirror_landmarks(), places.points(head)
    flipped = points[:, partner] * (-1, 1, 1)
    signs = np.array([[1.0, -1.0], [-1.0, 1.0]])
    covariance_flipped, rate_flipped = covariance[:, partner] * signs, rate[:, partner]
    turned_right = slice(len(bins_deg) - 1, 0, -1)

    def joined(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.concatenate([right[turned_right], (left[:1] + right[:1]) / 2, left[1:]])

    placed = [closest_places(head, at) for at in joined(points, flipped)]
    return DetectorModel(
        head_name=head.name,
        topology_hash=head.topology_hash,
        detector=detector,
        yaw_bins_deg=np.concatenate([-bins_deg[turned_right], bins_deg]).astype(np.float32),
        triangle_index=np.stack([index for index, _ in placed]),
        barycentric=np.stack([barycentric for _, barycentric in placed]),
        covariance_mm2=joined(covariance, covariance_flipped).astype(np.float32),
        detection_rate=np.clip(joined(rate, rate_flipped), 0, 1).astype(np.float32),
    )
