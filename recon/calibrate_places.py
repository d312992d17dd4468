"""From many pictures to one place a landmark and yaw bin: the surface points that all of the pictures agree with best.

To cast a detected point back onto the surface and average says little where the head is turned: on the far side rays graze the
surface or miss it, and the mean of what they meet lies well inside the face. Here every surface point, seen or hidden, is
projected into every picture, and the one whose projections lie nearest to the detections is taken (least absolute deviations
by iterative reweighting). Two neighbouring bins share the pictures between them, as they do when the model is used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from assets.detector_model import NUM_LANDMARKS, upright_rotation
from assets.head_model import HeadModel
from recon.calibrate_renders import Sighting
from recon.calibrate_surfaces import Surface, allowed_surfaces

MIN_DEVIATION_MM = 0.7
"""Deviations below count alike: the surface between two vertices is no finer."""

KERNEL_ROUNDS, JOINT_ROUNDS = 2, 2
"""Reweighting of each bin alone, then of all bins together, even and odd ones in turn."""

NUM_NEAREST = 3
"""Vertices around whose triangles the place is sought."""

STIFFNESS = 0.02
"""Pull of a place towards its place in the bin before, as a share of what the pictures weigh."""

_STEPS = 8
_INSIDE = np.array([(i, j, _STEPS - i - j) for i in range(_STEPS + 1) for j in range(_STEPS + 1 - i)], np.float32) / _STEPS
"""(45, 3) barycentrics over a triangle."""


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What the pictures say, folded to yaws of 0 and more by mirroring those with the head turned to its right.

    Positions are in the upright picture (its axes in assets/detector_model.py), in mm at the distance of the head's origin.
    """

    yaw_deg: np.ndarray
    """(N,) of each picture, 0 or more."""
    vertices_mm: np.ndarray
    """(N, V, 2) float32 projected vertices."""
    detected_mm: np.ndarray
    """(N, 2, 478, 2) float32: the landmarks in the picture and in its mirror image; nan where no face was found."""


def gather(head: HeadModel, sightings: Sequence[Sighting], partner: np.ndarray) -> Evidence:
    """Evidence of all pictures, those without a face included; `partner` (478,) of `mirror_landmarks`."""
    yaw_deg = np.array([sighting.yaw_deg for sighting in sightings])
    vertices_mm = np.zeros((len(sightings), head.num_vertices, 2), np.float32)
    detected_mm = np.full((len(sightings), 2, NUM_LANDMARKS, 2), np.nan, np.float32)
    for index, sighting in enumerate(sightings):
        vertices_px, _ = sighting.camera.project(sighting.vertices.astype(np.float64))
        vertices_mm[index] = upright_mm(sighting, vertices_px)
        if sighting.landmarks_px is not None:
            detected_mm[index, 0] = upright_mm(sighting, sighting.landmarks_px)
        if sighting.mirrored_px is not None:
            detected_mm[index, 1] = upright_mm(sighting, sighting.mirrored_px[partner])
    turned_right = yaw_deg < 0
    vertices_mm[turned_right] = vertices_mm[turned_right][:, head.mirror_vertices] * (-1, 1)
    detected_mm[turned_right] = detected_mm[turned_right][:, :, partner] * (-1, 1)
    return Evidence(np.abs(yaw_deg), vertices_mm, detected_mm)


def upright_mm(sighting: Sighting, px: np.ndarray) -> np.ndarray:
    """(N, 2) pixels in the axes of the upright picture, in mm at the distance of the head's origin from the camera."""
    camera = sighting.camera
    mm_per_px = 1000 * camera.T_cam_world[2, 3] / camera.K[0, 0]
    return (px - camera.K[:2, 2]) @ upright_rotation(camera.T_cam_world[:3, :3]).T * mm_per_px


@dataclasses.dataclass(frozen=True, eq=False)
class Places:
    """Surface points of all landmarks in each bin."""

    triangle_index: np.ndarray
    """(B, 478) int32 into HeadModel.triangles."""
    barycentric: np.ndarray
    """(B, 478, 3) float32."""

    def points(self, head: HeadModel) -> np.ndarray:
        """(B, 478, 3) float64 metres on the average head."""
        return np.einsum("blk,blkc->blc", self.barycentric, head.vertices[head.triangles[self.triangle_index]].astype(np.float64))


def hat_weights(yaw_deg: np.ndarray, bins_deg: np.ndarray) -> np.ndarray:
    """(N, B) shares of each bin at yaws (N,): linear between neighbours, the last bin alone beyond it; rows sum to 1."""
    return np.stack([np.interp(yaw_deg, bins_deg, row) for row in np.eye(len(bins_deg))], 1)


def find_places(head: HeadModel, evidence: Evidence, shares: np.ndarray) -> Places:
    """The places of every bin, for `shares` (N, B) of the bins in each picture: `hat_weights`, or all of one bin."""
    num_bins = shares.shape[1]
    places = Places(np.zeros((num_bins, NUM_LANDMARKS), np.int32), np.zeros((num_bins, NUM_LANDMARKS, 3), np.float32))
    seen = np.isfinite(evidence.detected_mm[:, :, 0, 0]).any(1)
    evidence = Evidence(evidence.yaw_deg[seen], evidence.vertices_mm[seen], evidence.detected_mm[seen])
    for surface in allowed_surfaces(head):
        _find_on_surface(head, evidence, shares[seen].astype(np.float32), surface, places)
    return places


def _find_on_surface(head: HeadModel, evidence: Evidence, shares: np.ndarray, surface: Surface, places: Places) -> None:
    """Fills in the places of one surface's landmarks."""
    target = evidence.detected_mm[:, :, surface.landmarks]
    search = _Search(head, surface, evidence.vertices_mm)
    num_bins = shares.shape[1]
    predicted = np.zeros((num_bins, len(evidence.yaw_deg), len(surface.landmarks), 2), np.float32)
    for b, is_first, is_joint in _order(num_bins):
        used = np.flatnonzero(shares[:, b] > 0)
        own = shares[used, b, None, None]
        # Only this bin's part of a prediction can change; in the joint rounds the neighbour's is taken off the target.
        others = np.einsum("nb,bnlc->nlc", shares[used], predicted[:, used]) - own * predicted[b, used]
        factor, rest = (own, others) if is_joint else (np.ones_like(own), np.zeros_like(others))
        weight = _weights(target[used], None if is_first else rest + factor * predicted[b, used])
        weight = weight if is_joint else weight * own[..., 0, None]
        off = np.nan_to_num(target[used] - rest[:, None])
        amount = weight.sum(1) * factor[..., 0] ** 2
        pull = (weight[..., None] * off).sum(1) * factor
        before = places.points(head)[b - 1, surface.landmarks] if b > 0 else None
        rows, barycentric = search.best(used, amount, pull, before)
        places.triangle_index[b, surface.landmarks] = surface.triangles[rows]
        places.barycentric[b, surface.landmarks] = barycentric
        corners = head.triangles[surface.triangles[rows]]
        predicted[b] = np.einsum("lk,nlkc->nlc", barycentric, evidence.vertices_mm[:, corners])


def _order(num_bins: int) -> list[tuple[int, bool, bool]]:
    """(bin, whether it has no place yet, whether its neighbours count) of every step."""
    alone = [(b, step == 0, False) for b in range(num_bins) for step in range(KERNEL_ROUNDS)]
    in_turn = (*range(0, num_bins, 2), *range(1, num_bins, 2))
    return alone + [(b, False, True) for _ in range(JOINT_ROUNDS if num_bins > 1 else 0) for b in in_turn]


def _weights(target: np.ndarray, predicted: np.ndarray | None) -> np.ndarray:
    """(U, 2, L) of detections (U, 2, L, 2) against predictions (U, L, 2): one over the deviation, as least absolute deviations ask."""
    is_seen = np.isfinite(target[..., 0]).astype(np.float32)
    if predicted is None:
        return is_seen
    deviation = np.linalg.norm(np.nan_to_num(target) - predicted[:, None], axis=-1)
    return is_seen / np.maximum(deviation, MIN_DEVIATION_MM)


class _Search:
    """Least squares over all points of a surface: the one with the least sum of `amount` x |projection - target|^2."""

    def __init__(self, head: HeadModel, surface: Surface, vertices_mm: np.ndarray) -> None:
        self._corners = head.triangles[surface.triangles]
        self._vertices, inverse = np.unique(self._corners, return_inverse=True)
        self._local = inverse.reshape(-1, 3)
        self._projected = np.ascontiguousarray(vertices_mm[:, self._vertices].transpose(1, 0, 2))
        """(W, N, 2) of the surface's own vertices."""
        self._rest_mm = head.vertices[self._vertices] * np.float32(1000)
        self._around = _triangles_around(self._local)

    def best(self, used: np.ndarray, amount: np.ndarray, pull: np.ndarray, before: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Rows (L,) into the surface's triangles and barycentrics (L, 3).

        Args:
            used: (U,) indices of pictures.
            amount: (U, L) weights.
            pull: (U, L, 2) weights times targets, mm.
            before: (L, 3) metres on the average head, that the result is drawn to; None: no such pull.
        """
        at = self._projected[:, used]
        stiffness = STIFFNESS * amount.sum(0) * (before is not None)
        drawn_mm = np.zeros((amount.shape[1], 3), np.float32) if before is None else before.astype(np.float32) * 1000
        cost = (at**2).sum(-1) @ amount - 2 * (at[..., 0] @ pull[..., 0] + at[..., 1] @ pull[..., 1])
        cost += stiffness * ((self._rest_mm**2).sum(1)[:, None] - 2 * self._rest_mm @ drawn_mm.T)
        nearest = np.argpartition(cost, NUM_NEAREST, 0)[:NUM_NEAREST]
        rows, barycentric = np.zeros(cost.shape[1], int), np.zeros((cost.shape[1], 3), np.float32)
        for landmark in range(cost.shape[1]):
            candidates = np.unique(np.concatenate([self._around[vertex] for vertex in nearest[:, landmark]]))
            corners = at[self._local[candidates]]
            rest = self._rest_mm[self._local[candidates]]
            weighted = (corners * amount[:, landmark, None]).reshape(*corners.shape[:2], -1)
            square = weighted @ corners.reshape(weighted.shape).transpose(0, 2, 1)
            square += stiffness[landmark] * rest @ rest.transpose(0, 2, 1)
            line = corners.reshape(weighted.shape) @ pull[:, landmark].ravel() + stiffness[landmark] * rest @ drawn_mm[landmark]
            costs = ((_INSIDE @ square) * _INSIDE).sum(-1) - 2 * line @ _INSIDE.T
            triangle, inside = np.unravel_index(costs.argmin(), costs.shape)
            rows[landmark], barycentric[landmark] = candidates[triangle], _INSIDE[inside]
        return rows, barycentric


def _triangles_around(corners: np.ndarray) -> list[np.ndarray]:
    """For each vertex the rows of `corners` (T, 3) that it is in."""
    order = np.argsort(corners.ravel(), kind="stable")
    first = np.searchsorted(corners.ravel()[order], np.arange(1, corners.max() + 1))
    return np.split(order // 3, first)
