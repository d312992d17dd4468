"""Plain names for expressions, by the shapes that dominate them. Data and one rule; nothing is rounded off or made alike on both sides."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES

PATTERNS: Mapping[str, Mapping[str, float]] = {
    "smile": {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "cheekSquintLeft": 0.4, "cheekSquintRight": 0.4},
    "smile to the left": {"mouthSmileLeft": 1.0, "cheekSquintLeft": 0.4, "mouthDimpleLeft": 0.3},
    "smile to the right": {"mouthSmileRight": 1.0, "cheekSquintRight": 0.4, "mouthDimpleRight": 0.3},
    "laugh": {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "jawOpen": 0.6, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5},
    "surprise": {
        "jawOpen": 0.7, "browInnerUp": 0.8, "browOuterUpLeft": 0.7, "browOuterUpRight": 0.7, "eyeWideLeft": 0.6, "eyeWideRight": 0.6,
    },
    "brows up": {"browInnerUp": 1.0, "browOuterUpLeft": 0.8, "browOuterUpRight": 0.8},
    "left brow up": {"browOuterUpLeft": 1.0, "browInnerUp": 0.2},
    "right brow up": {"browOuterUpRight": 1.0, "browInnerUp": 0.2},
    "skeptical, left brow": {"browOuterUpLeft": 0.9, "browDownRight": 0.5, "mouthLeft": 0.3, "mouthPressLeft": 0.2, "mouthFrownRight": 0.2},
    "skeptical, right brow": {
        "browOuterUpRight": 0.9, "browDownLeft": 0.5, "mouthRight": 0.3, "mouthPressRight": 0.2, "mouthFrownLeft": 0.2,
    },
    "frown": {"browDownLeft": 1.0, "browDownRight": 1.0, "eyeSquintLeft": 0.3, "eyeSquintRight": 0.3},
    "anger": {
        "browDownLeft": 1.0, "browDownRight": 1.0, "noseSneerLeft": 0.5, "noseSneerRight": 0.5,
        "mouthPressLeft": 0.5, "mouthPressRight": 0.5, "mouthFrownLeft": 0.3, "mouthFrownRight": 0.3,
    },
    "sadness": {"mouthFrownLeft": 0.8, "mouthFrownRight": 0.8, "browInnerUp": 0.8, "mouthShrugLower": 0.3},
    "corners down": {"mouthFrownLeft": 1.0, "mouthFrownRight": 1.0, "mouthShrugLower": 0.4},
    "disgust": {"noseSneerLeft": 1.0, "noseSneerRight": 1.0, "mouthUpperUpLeft": 0.6, "mouthUpperUpRight": 0.6},
    "sneer to the left": {"noseSneerLeft": 1.0, "mouthUpperUpLeft": 0.6},
    "sneer to the right": {"noseSneerRight": 1.0, "mouthUpperUpRight": 0.6},
    "mouth open": {"jawOpen": 1.0},
    "oh": {"mouthFunnel": 1.0, "jawOpen": 0.4},
    "pucker": {"mouthPucker": 1.0, "mouthFunnel": 0.2},
    "lips pressed": {"mouthPressLeft": 1.0, "mouthPressRight": 1.0},
    "lips rolled in": {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
    "grimace": {"mouthStretchLeft": 1.0, "mouthStretchRight": 1.0, "mouthLowerDownLeft": 0.4, "mouthLowerDownRight": 0.4},
    "mouth to the left": {"mouthLeft": 1.0, "jawLeft": 0.3},
    "mouth to the right": {"mouthRight": 1.0, "jawRight": 0.3},
    "jaw to the left": {"jawLeft": 1.0},
    "jaw to the right": {"jawRight": 1.0},
    "jaw forward": {"jawForward": 1.0},
    "cheeks puffed": {"cheekPuff": 1.0},
    "squint": {"eyeSquintLeft": 1.0, "eyeSquintRight": 1.0, "cheekSquintLeft": 0.4, "cheekSquintRight": 0.4},
    "wide eyes": {"eyeWideLeft": 1.0, "eyeWideRight": 1.0},
    "eyes closed": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    "wink, left eye": {"eyeBlinkLeft": 1.0},
    "wink, right eye": {"eyeBlinkRight": 1.0},
}  # fmt: skip
"""Names and the weights that they stand for; sides are the subject's own."""

ALIKE = 0.7
"""Cosine between an expression's weights and a pattern's from which the pattern's name fits: at most half of it is something else."""

NUM_IN_NAME = 2
"""Shapes named where no pattern fits."""


def name_of(weights: Mapping[str, float], importance: Mapping[str, float] | None = None) -> str:
    """A plain name for ARKit weights: that of the pattern most like them, else the shapes that dominate, "mouthLeft and jawForward".

    `importance` is how much each shape moves on the head, by name (1 where not given): a weight counts for what it shows.
    Weights that are all zero are "rest".
    """
    scale = np.array([1.0 if importance is None else importance.get(name, 1.0) for name in ARKIT_BLENDSHAPES])
    own = scale * _vector(weights)
    if not np.linalg.norm(own) > 0:
        return "rest"
    scores = {name: _cosine(own, scale * _vector(pattern)) for name, pattern in PATTERNS.items()}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] >= ALIKE:
        return best
    strongest = [ARKIT_BLENDSHAPES[k] for k in np.argsort(np.negative(own), kind="stable")[:NUM_IN_NAME] if own[k] > 0]
    return " and ".join(strongest)


def numbered(names: list[str]) -> list[str]:
    """The names, with " 2", " 3" and so on after each that has stood before."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return out


def _vector(weights: Mapping[str, float]) -> np.ndarray:
    return np.array([weights.get(name, 0.0) for name in ARKIT_BLENDSHAPES])


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length > 0 else 0.0
