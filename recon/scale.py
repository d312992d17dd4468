"""How large the head is: from a rig, from the pupils, or from distances measured on the person; each with its error."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from assets.errors import RangeError
from assets.head_model import HeadModel
from assets.landmarks import LandmarkEmbedding
from recon.named_points import check_point, place_of

Distance = tuple[str, str, float]
"""Two named points (recon/named_points.py) and the millimetres between them, as measured on the person."""

INTERPUPILLARY_RANGE_MM = (40.0, 90.0)
"""Children of five have 40, almost all adults 45 to 80 (Dodgson, 2004); what lies outside is in another unit or a slip."""

DISTANCE_RANGE_MM = (5.0, 300.0)
"""No two named points of a head are nearer or further; what lies outside is in another unit or a slip."""

MEASURING_SD_MM = 0.5
"""What a caliper or ruler on a living face is good for: the skin gives way, and its ticks are millimetres."""

DISAGREEMENT_SDS = 3.0
"""Stated distances that ask for sizes further apart than so many of their own standard deviations are told."""


@dataclasses.dataclass(frozen=True)
class HeadSize:
    """What the solved head is to be multiplied by, and how well that is known."""

    factor: float = 1.0
    is_metric: bool = False
    relative_sd: float | None = None
    """Standard deviation of the size over the size; None where nothing gave one."""
    source: str = ""
    """What gave the size, in words; "" where nothing did."""
    notes: tuple[str, ...] = ()


def check_interpupillary(distance_mm: float) -> None:
    """Raises RangeError for a distance between the pupils that nobody has; 0 stands for unknown."""
    low, high = INTERPUPILLARY_RANGE_MM
    if distance_mm != 0 and not low <= distance_mm <= high:
        raise RangeError(
            expected=f"a distance between the pupils of {low:g} to {high:g} millimetres, or 0 where it is unknown",
            got=f"{distance_mm:g}",
            do="measure from pupil to pupil; 63 mm is the average adult's",
        )


def check_distances(distances: Sequence[Distance]) -> None:
    """Raises RangeError for names of no point, a point stated against itself, or millimetres that no head has."""
    low, high = DISTANCE_RANGE_MM
    for first, second, distance_mm in distances:
        check_point(first)
        check_point(second)
        if first == second:
            raise RangeError(expected="a distance between two different points", got=f"{first} twice", do="name the other point")
        if not low <= distance_mm <= high:
            raise RangeError(
                expected=f"a distance of {low:g} to {high:g} millimetres between {first} and {second}",
                got=f"{distance_mm:g}",
                do="measure in a straight line, in millimetres",
            )


def size_of_rig(relative_sd: float | None) -> HeadSize:
    """A rig of known unit has solved for the head's size itself."""
    return HeadSize(1.0, True, relative_sd, "the rig's cameras")


def size_by_distances(
    distances: Sequence[Distance], head: HeadModel, neutral: np.ndarray, embedding: LandmarkEmbedding, num_views: int
) -> HeadSize:
    """The size at which a solved neutral (V, 3), metres, has the stated distances, by their weighted mean in the logarithm.

    A distance's error is that of measuring it (0.5 mm) and that of the fit's two points: the detector's spread, which averages over
    `num_views` pictures. Where distances contradict each other, the error of their mean grows accordingly (Birge's ratio, 1932).
    """
    logs, sds = [], []
    for first, second, stated_mm in distances:
        fitted_mm, spread_mm = fitted_distance_mm(first, second, head, neutral, embedding, num_views)
        logs.append(math.log(stated_mm / fitted_mm))
        sds.append(math.hypot(MEASURING_SD_MM, spread_mm) / stated_mm)
    log, sd = np.array(logs), np.array(sds)
    weight = sd**-2
    mean = float(weight @ log / weight.sum())
    birge = math.sqrt(float(weight @ (log - mean) ** 2) / (len(log) - 1)) if len(log) > 1 else 1.0
    off = np.flatnonzero(np.abs(log - mean) > DISAGREEMENT_SDS * sd)
    notes = tuple(_disagreement(distances[int(k)], float(np.exp(log[k] - mean))) for k in off)
    source = " and ".join(f"{first} to {second} {mm:g} mm" for first, second, mm in distances)
    return HeadSize(math.exp(mean), True, max(birge, 1.0) / math.sqrt(float(weight.sum())), source, notes)


def fitted_distance_mm(
    first: str, second: str, head: HeadModel, neutral: np.ndarray, embedding: LandmarkEmbedding, num_views: int
) -> tuple[float, float]:
    """(distance of two named points on a neutral (V, 3) in metres, its standard deviation), both millimetres."""
    (a, spread_a), (b, spread_b) = (place_of(name, head, neutral, embedding) for name in (first, second))
    return 1e3 * float(np.linalg.norm(a - b)), math.hypot(spread_a, spread_b) / math.sqrt(max(num_views, 1))


def distance_notes(
    distances: Sequence[Distance], head: HeadModel, neutral: np.ndarray, embedding: LandmarkEmbedding, num_views: int
) -> tuple[str, ...]:
    """What stated distances are on a head whose size a rig has given: one sentence each, so that they serve as a check."""
    notes = []
    for first, second, stated_mm in distances:
        fitted_mm, spread_mm = fitted_distance_mm(first, second, head, neutral, embedding, num_views)
        off, error = fitted_mm / stated_mm - 1, math.hypot(MEASURING_SD_MM, spread_mm) / stated_mm
        notes.append(
            f"The rig gives the size: {first} to {second} is {fitted_mm:.1f} mm on its head and was stated as {stated_mm:g} mm, "
            f"{100 * off:+.1f} % where {100 * error:.1f} % are to be expected."
        )
    return tuple(notes)


def _disagreement(distance: Distance, ratio: float) -> str:
    first, second, stated_mm = distance
    return (
        f"The stated distances contradict each other: {first} to {second} was stated as {stated_mm:g} mm, and is "
        f"{stated_mm / ratio:.1f} mm by the size that all of them give together. Measure again."
    )


def scale_words(scale: str, relative_sd: float | None, source: str) -> str:
    """The scale for people: "metric, ± 0.4 % (from the rig's cameras)"."""
    error = f", ± {100 * relative_sd:.2g} %" if relative_sd is not None else ""
    return f"{scale}{error}" + (f" (from {source})" if source else "")
