"""Coverage: how well a set of views determines a head's surface, by a simple information model that needs no pixels.

Each point of the average head has a spread, in millimetres, of where a person's own surface may lie. A pair of views that both
see the point and stand 6 to 50 degrees apart measures it, as the dense stages do (recon/solve/flow.py); each face seen twice adds
information, and a view is worth what the spread loses by it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from assets.drawn import drawn_triangles
from assets.head_model import PARTS, REGIONS, HeadModel
from recon.coverage_expressions import EXPRESSIONS, shown_expressions
from recon.solve.flow import MAX_ANGLE_DEG, MIN_ANGLE_DEG
from render import RayScene, vertex_normals

NUM_POINTS = 420
"""Points on the head. Twice as many give the same order of photos."""

PRIOR_SD_MM = 1.5
"""Spread before any pair of views: the average head lies 1.1 to 1.5 mm (median) off a person's own after a similarity."""

MATCH_SD_MM = 0.35
"""A match's error across the line of sight: half a pixel on a face of `FULL_FACE_PX`. Along it, over the sine of the angle."""

FULL_FACE_PX = 400.0
"""Faces smaller than this are matched less exactly in proportion; larger ones are brought down to about it by the solver."""

FULL_WORTH_DEG = 30.0
"""Up to this angle a pair matches fully; from there to MAX_ANGLE_DEG fewer and fewer patches look alike."""

IMPORTANCE: Mapping[str, float] = MappingProxyType({"face": 1.0, "ears": 0.35, "neck": 0.15, "scalp": 0.1})
"""How much a point counts by its region: the scalp little, since it is mostly hair that no pair of views agrees on."""

OWN_SHAPE_SHARE = 0.25
"""Spread of a person's own expression shape, as a share of its motion on the generic head (0.5 to 0.75 mm where skin moves 2 to 3 mm)."""

MAX_OWN_SHAPE_MM = 1.0
"""And not more than this: what moves far, as the chin does, moves as one piece."""

EXPRESSIVE_WORTH = 0.3
"""What a picture with a strong expression is worth for the head at rest: its skin has moved, so that it is believed less."""


@dataclasses.dataclass(frozen=True, eq=False)
class SeenFrom:
    """One picture of the set: where its camera stands, and what face it shows."""

    name: str
    yaw_deg: float
    """Positive: the head looks turned to its own left, so the camera stands at its right. nan where not known."""
    pitch_deg: float
    """Positive: the head looks turned up, so the camera stands below. nan where not known."""
    worth: float = 1.0
    """In [0, 1]: 1 for a sharp face of FULL_FACE_PX or more."""
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """ARKit weights by name, above those of the calmest picture."""

    @property
    def is_placed(self) -> bool:
        """Whether it is known where the camera stands."""
        return bool(np.isfinite(self.yaw_deg) and np.isfinite(self.pitch_deg))

    @property
    def expressions(self) -> tuple[str, ...]:
        """Names of EXPRESSIONS that it shows."""
        return shown_expressions(self.weights)


@dataclasses.dataclass(frozen=True, eq=False)
class CoverSurface:
    """Points of the average head that views are judged by."""

    points: np.ndarray
    """(P, 3) metres, head frame."""
    normals: np.ndarray
    """(P, 3) unit."""
    importance: np.ndarray
    """(P,) sums to 1."""
    areas: tuple[str, ...]
    """(P,) plain words for where each point lies, such as "left cheek"."""
    motion_mm: np.ndarray
    """(E, P, 3) displacement of each of EXPRESSIONS at full strength."""
    scene: RayScene


def direction_of(yaw_deg: np.ndarray | float, pitch_deg: np.ndarray | float) -> np.ndarray:
    """(..., 3) unit vectors from the head to a camera that sees it at this yaw and pitch, head frame."""
    yaw, pitch = np.radians(yaw_deg), np.radians(pitch_deg)
    return np.stack(np.broadcast_arrays(-np.sin(yaw) * np.cos(pitch), -np.sin(pitch), np.cos(yaw) * np.cos(pitch)), -1)


def yaw_and_pitch_of(direction: np.ndarray) -> tuple[float, float]:
    """(yaw, pitch) in degrees at which a camera in this direction (3,) sees the head; the inverse of `direction_of`."""
    x, y, z = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    return float(np.degrees(np.arctan2(-x, z))), float(np.degrees(np.arcsin(np.clip(-y, -1.0, 1.0))))


def cover_surface(head: HeadModel) -> CoverSurface:
    """Points spread evenly over the head's outer skin, with normals, importance, names and the motion of each expression."""
    normals = vertex_normals(head.vertices, head.triangles).astype(np.float64)
    scene = RayScene(head.vertices, drawn_triangles(head))
    chosen = _spread_points(head, normals, scene)
    points = head.vertices[chosen].astype(np.float64)
    regions = [REGIONS[region] for region in head.vertex_regions[chosen]]
    importance = np.array([IMPORTANCE[region] for region in regions])
    motion = np.stack([1e3 * head.expression_offsets(dict.fromkeys(group.shapes, 1.0))[chosen] for group in EXPRESSIONS])
    areas = tuple(_area(point, normal, region) for point, normal, region in zip(points, normals[chosen], regions, strict=True))
    return CoverSurface(points, normals[chosen], importance / importance.sum(), areas, motion.astype(np.float64), scene)


def _spread_points(head: HeadModel, normals: np.ndarray, scene: RayScene) -> np.ndarray:
    """Indices of vertices on outer skin, by farthest-point sampling from the first."""
    skin = np.isin(head.vertex_regions, [REGIONS.index(name) for name in IMPORTANCE]) & (head.vertex_parts == PARTS.index("skin"))
    candidates = np.flatnonzero(skin)
    # What no direction sees (inside of lips, nostrils) asks for no photo.
    start = head.vertices[candidates] + 1e-3 * normals[candidates]
    candidates = candidates[~np.isfinite(scene.cast(start, normals[candidates]).distance)]
    points, chosen = head.vertices[candidates], [0]
    distance = np.linalg.norm(points - points[0], axis=1)
    for _ in range(min(NUM_POINTS, len(candidates)) - 1):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return candidates[np.sort(chosen)]


def _area(point: np.ndarray, normal: np.ndarray, region: str) -> str:
    """Plain words for a point; limits in metres from the midpoint of the eyes, on a head of average size."""
    x, y, _ = point
    side = "left" if x > 0 else "right"
    if region == "ears":
        return f"{side} ear"
    if region == "scalp":
        return "crown" if normal[1] > 0.7 else f"{side} side of the head"
    if region == "neck":
        return "front of the neck" if normal[2] > 0.3 and abs(x) < 0.045 else f"{side} side of the neck"
    if y < -0.06 and normal[1] < -0.5:
        return "underside of the chin"
    if y > 0.02:
        return "forehead" if abs(x) < 0.045 else f"{side} temple"
    if abs(x) < 0.018 and y > -0.055:
        return "nose"
    if y < -0.085:
        return "chin" if abs(x) < 0.025 else f"{side} jaw"
    if abs(x) < 0.028 and y < -0.045:
        return "mouth"
    if y > -0.018 and abs(x) < 0.055:
        return f"{side} eye"
    return f"{side} cheek"


def visibility(surface: CoverSurface, directions: np.ndarray) -> np.ndarray:
    """(D, P) in [0, 1]: the cosine between each point's normal and each direction (D, 3), 0 where the head hides it.

    Skin seen at more than about 75 degrees from its normal is smeared over too few pixels to match.
    """
    cosine = directions @ surface.normals.T
    origins = surface.points + 1e-3 * surface.normals
    rays = np.repeat(directions, len(origins), 0)
    blocked = np.isfinite(surface.scene.cast(np.tile(origins, (len(directions), 1)), rays).distance).reshape(cosine.shape)
    return np.where(blocked | (cosine < 0.25), 0.0, cosine)


def pair_information(angle_deg: np.ndarray) -> np.ndarray:
    """Information (mm^-2) along the normal from a pair of full-worth views so many degrees apart, seen squarely."""
    reach = np.clip((MAX_ANGLE_DEG - angle_deg) / (MAX_ANGLE_DEG - FULL_WORTH_DEG), 0.0, 1.0)
    return np.where(angle_deg >= MIN_ANGLE_DEG, reach * (np.sin(np.radians(angle_deg)) / MATCH_SD_MM) ** 2, 0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Coverage:
    """What a set of views leaves unknown: information and spread of the head at rest, and of each expression."""

    surface: CoverSurface
    directions: np.ndarray
    """(N, 3) of the placed views."""
    seen: np.ndarray
    """(N, P) visibility times worth."""
    rest: np.ndarray
    """(N,) how far each view counts for the head at rest."""
    shows: np.ndarray
    """(N, E) bool: which of EXPRESSIONS each view shows."""
    information: np.ndarray
    """(1 + E, P) mm^-2: of the head at rest, then of each expression."""

    @property
    def sd_mm(self) -> np.ndarray:
        """(P,) expected spread of the head at rest along its normals."""
        return spread_mm(self.information, self.surface)[0]

    @property
    def loss_mm(self) -> float:
        """Mean spread by importance: of the head at rest, plus the mean of all expressions together."""
        return loss_mm(self.information, self.surface)


def spread_mm(information: np.ndarray, surface: CoverSurface) -> np.ndarray:
    """(..., 1 + E, P) standard deviations from information under the priors of rest and of each expression."""
    own = np.minimum(OWN_SHAPE_SHARE * np.linalg.norm(surface.motion_mm, axis=2), MAX_OWN_SHAPE_MM)
    prior = np.concatenate([np.full((1, len(surface.points)), PRIOR_SD_MM), np.maximum(own, 1e-6)])
    return 1.0 / np.sqrt(1.0 / prior**2 + information)


def loss_mm(information: np.ndarray, surface: CoverSurface) -> float:
    """One number to be made small (mm): all expressions together count as much as the head at rest."""
    mean = spread_mm(information, surface) @ surface.importance
    return float(mean[0] + mean[1:].mean())


def cover(surface: CoverSurface, views: Sequence[SeenFrom]) -> Coverage:
    """Coverage by the placed views; the others count for nothing."""
    placed = [view for view in views if view.is_placed and view.worth > 0]
    names = [group.name for group in EXPRESSIONS]
    directions = direction_of(np.array([v.yaw_deg for v in placed]), np.array([v.pitch_deg for v in placed])).reshape(-1, 3)
    worth = np.array([view.worth for view in placed])
    seen = visibility(surface, directions) * worth[:, None] if placed else np.zeros((0, len(surface.points)))
    shows = np.array([[name in view.expressions for name in names] for view in placed]).reshape(-1, len(names))
    rest = np.where(shows.any(1), EXPRESSIVE_WORTH, 1.0)
    empty = Coverage(surface, np.zeros((0, 3)), np.zeros((0, len(surface.points))), np.zeros(0), np.zeros((0, len(names)), bool),
                     np.zeros((1 + len(names), len(surface.points))))  # fmt: skip
    for k in range(len(placed)):
        empty = with_view(empty, directions[k], seen[k], rest[k], shows[k])
    return empty


def with_view(coverage: Coverage, direction: np.ndarray, seen: np.ndarray, rest: float, shows: np.ndarray) -> Coverage:
    """The coverage with one more view: direction (3,), visibility times worth (P,), its share of rest, and what it shows (E,)."""
    return dataclasses.replace(
        coverage,
        directions=np.concatenate([coverage.directions, direction[None]]),
        seen=np.concatenate([coverage.seen, seen[None]]),
        rest=np.append(coverage.rest, rest),
        shows=np.concatenate([coverage.shows, np.asarray(shows, bool)[None]]),
        information=coverage.information + added_information(coverage, direction, seen, rest, shows),
    )


def added_information(coverage: Coverage, direction: np.ndarray, seen: np.ndarray, rest: float, shows: np.ndarray) -> np.ndarray:
    """(1 + E, P): what a further view adds by its pairs with the others, and for an expression also by itself.

    One view of an expression shows how far skin moved across its line of sight, since the head at rest is known; the part of the
    motion along it needs a second view.
    """
    angle_deg = np.degrees(np.arccos(np.clip(coverage.directions @ direction, -1.0, 1.0)))
    pairs = pair_information(angle_deg)[:, None] * coverage.seen * seen
    motion = coverage.surface.motion_mm
    across = 1.0 - np.square(motion @ direction) / np.maximum(np.square(motion).sum(2), 1e-12)
    own = np.where(np.asarray(shows)[:, None], seen * across / MATCH_SD_MM**2, 0.0)
    shared = (coverage.shows & shows).astype(float).T @ pairs
    return np.concatenate([((coverage.rest * rest) @ pairs)[None], own + shared])
