"""ARKit's 52 blendshape names, in the order of the Live Link Face CSV, and weights by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import numpy as np

from assets.errors import RangeError

# Order of the Live Link Face app's CSV header (after Timecode and BlendshapeCount), first letter in lower case.
ARKIT_BLENDSHAPES: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft", "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight", "eyeSquintRight", "eyeWideRight",
    "jawForward", "jawRight", "jawLeft", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthRight", "mouthLeft", "mouthSmileLeft", "mouthSmileRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip


def weights_to_vector(weights: Mapping[str, float]) -> np.ndarray:
    """(52,) float32 in the order of ARKIT_BLENDSHAPES; raises RangeError for an unknown name or a weight that is not finite."""
    vector = np.zeros(len(ARKIT_BLENDSHAPES), np.float32)
    for name, weight in weights.items():
        if name not in ARKIT_BLENDSHAPES:
            near = difflib.get_close_matches(name, ARKIT_BLENDSHAPES, 1, 0.0)[0]
            raise RangeError(expected="an ARKit blendshape name", got=repr(name), do=f"did you mean {near!r}?")
        if not np.isfinite(weight):
            raise RangeError(expected=f"a finite weight for {name}", got=repr(weight), do="give a number, usually in [0, 1]")
        vector[ARKIT_BLENDSHAPES.index(name)] = weight
    return vector


def vector_to_weights(vector: np.ndarray, *, above: float = 0.0) -> dict[str, float]:
    """Weights by name from a (52,) vector, leaving out those whose magnitude is not above the given value."""
    return {name: float(weight) for name, weight in zip(ARKIT_BLENDSHAPES, vector, strict=True) if abs(weight) > above}


def mirror_name(name: str) -> str:
    """The name of the shape on the other side of the face; names without a side are their own mirror."""
    if name.endswith("Left"):
        return name.removesuffix("Left") + "Right"
    if name.endswith("Right"):
        return name.removesuffix("Right") + "Left"
    return name
