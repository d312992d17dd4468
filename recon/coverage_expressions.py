"""Expressions that a capture may show, as groups of ARKit shapes with plain words; and which of them a face shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

SHOWN_ABOVE = 0.35
"""Weight of a group's strongest shapes from which a face is said to show it: a third of the way, where it plainly is no rest any more."""

NEAR_YAW_DEG, MIN_ALIKE = 25.0, 4
"""Pictures so near in yaw are compared with each other, where there are so many."""


@dataclasses.dataclass(frozen=True)
class ExpressionGroup:
    """One expression that tells something of a person's face that no other does."""

    name: str
    shapes: tuple[str, ...]
    """ARKit names; both sides where there are two."""
    ask: str
    """What to ask the person for."""


EXPRESSIONS: tuple[ExpressionGroup, ...] = (
    ExpressionGroup("smile", ("mouthSmileLeft", "mouthSmileRight"), "with a broad smile"),
    ExpressionGroup("mouth open", ("jawOpen",), "with the mouth wide open"),
    ExpressionGroup("pucker", ("mouthPucker", "mouthFunnel"), "with lips puckered as for a kiss"),
    ExpressionGroup("brows up", ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"), "with brows raised"),
    ExpressionGroup("frown", ("browDownLeft", "browDownRight", "noseSneerLeft", "noseSneerRight"), "with a frown"),
    ExpressionGroup("corners down", ("mouthFrownLeft", "mouthFrownRight", "mouthShrugLower"), "with the corners of the mouth down"),
    ExpressionGroup("eyes closed", ("eyeBlinkLeft", "eyeBlinkRight"), "with eyes closed"),
)
"""Groups in the order in which they are drawn."""


def strength(group: ExpressionGroup, weights: Mapping[str, float]) -> float:
    """How strongly weights show a group: its strongest shape, so that a one-sided smile or brow counts."""
    return max((float(weights.get(name, 0.0)) for name in group.shapes), default=0.0)


def shown_expressions(weights: Mapping[str, float]) -> tuple[str, ...]:
    """Names of the groups that weights show, the strongest first."""
    found = [(strength(group, weights), group.name) for group in EXPRESSIONS]
    return tuple(name for value, name in sorted(found, key=lambda item: -item[0]) if value >= SHOWN_ABOVE)


def above_rest(weights: Sequence[Mapping[str, float]], yaws_deg: Sequence[float]) -> list[dict[str, float]]:
    """The weights less what is common to nearly all pictures of a person from about the same side.

    Landmarks sit elsewhere on each face, and elsewhere again from each side, which a single picture's weights take for an
    expression. The lower quartile over the pictures within NEAR_YAW_DEG is that share; where there are fewer than four, over all;
    where there are fewer than four at all, nothing is taken off. A yaw of nan is near to all.
    """
    names = sorted({name for record in weights for name in record})
    table = np.array([[record.get(name, 0.0) for name in names] for record in weights]).reshape(len(weights), len(names))
    common = np.zeros_like(table)
    for row, yaw_deg in enumerate(yaws_deg):
        near = np.array([not abs(other - yaw_deg) > NEAR_YAW_DEG for other in yaws_deg])
        alike = table[near] if near.sum() >= MIN_ALIKE else table
        if len(alike) >= MIN_ALIKE:
            common[row] = np.quantile(alike, 0.25, axis=0)
    return [{name: float(value) for name, value in zip(names, row, strict=True) if value > 0} for row in np.maximum(table - common, 0.0)]
