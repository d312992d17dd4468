"""ARKit's 52 blendshape names, in the order of the Live Link Face CSV, and weights by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np

from assets.errors import RangeError, ShapeError

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


def check_weights(
    weights: Mapping[str, float], names: tuple[str, ...] = ARKIT_BLENDSHAPES, *, kind: str = "an ARKit blendshape name"
) -> dict[str, float]:
    """The weights as floats, in their order.

    Raises RangeError for a name that is not among `names`, with the nearest one, and for a weight that is not finite.
    """
    for name, weight in weights.items():
        if name not in names:
            near = difflib.get_close_matches(str(name), names, 1, 0.0)[0]
            raise RangeError(expected=kind, got=repr(name), do=f"did you mean {near!r}?")
        if not _is_finite(weight):
            raise RangeError(expected=f"a finite weight for {name}", got=repr(weight), do="give a number, usually in [0, 1]")
    return {name: float(weight) for name, weight in weights.items()}


def _is_finite(weight: object) -> bool:
    try:
        return bool(np.isfinite(weight))  # pyright: ignore[reportArgumentType, reportCallIssue]
    except (TypeError, ValueError):
        return False


def weights_to_vector(weights: Mapping[str, float]) -> np.ndarray:
    """(52,) float32 in the order of ARKIT_BLENDSHAPES; raises RangeError for an unknown name or a weight that is not finite."""
    vector = np.zeros(len(ARKIT_BLENDSHAPES), np.float32)
    for name, weight in check_weights(weights).items():
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


class BlendshapeWeights(Mapping[str, float]):
    """ARKit weights by name: immutable, hashable, checked once, and usable wherever a mapping of weights is.

    Names that are not given have no entry, and weigh nothing. Raises RangeError for an unknown name, with the nearest valid
    one, and for a weight that is not finite.
    """

    __slots__ = ("_by_name",)
    _by_name: MappingProxyType[str, float]

    def __init__(self, weights: Mapping[str, float] | None = None, /, **named: float) -> None:
        object.__setattr__(self, "_by_name", MappingProxyType(check_weights({**(weights or {}), **named})))

    @classmethod
    def from_vector(cls, vector: np.ndarray, *, above: float = 0.0) -> BlendshapeWeights:
        """From (52,) weights in the order of ARKIT_BLENDSHAPES, without those whose magnitude is not above the given value."""
        if np.shape(vector) != (len(ARKIT_BLENDSHAPES),):
            raise ShapeError(
                expected=f"({len(ARKIT_BLENDSHAPES)},) weights in the order of ARKIT_BLENDSHAPES",
                got=f"an array of shape {np.shape(vector)}",
                do="pass one weight for each name, or weights by name",
            )
        # What is not finite is kept here, so that the constructor refuses it.
        return cls({name: float(w) for name, w in zip(ARKIT_BLENDSHAPES, vector, strict=True) if not abs(w) <= above})

    def vector(self) -> np.ndarray:
        """(52,) float32 in the order of ARKIT_BLENDSHAPES, 0 for names that are not given."""
        return weights_to_vector(self._by_name)

    def mirrored(self) -> BlendshapeWeights:
        """The same expression on the other side of the face: left and right names change places."""
        return BlendshapeWeights({mirror_name(name): weight for name, weight in self._by_name.items()})

    def scaled(self, factor: float) -> BlendshapeWeights:
        """All weights times a finite factor."""
        return BlendshapeWeights({name: factor * weight for name, weight in self._by_name.items()})

    def __getitem__(self, name: str) -> float:
        """The weight of a name; KeyError where it is not given, RangeError where there is no such name (so also from `get`)."""
        if name not in self._by_name:
            check_weights({name: 0.0})
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __hash__(self) -> int:
        return hash(frozenset(self._by_name.items()))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("BlendshapeWeights cannot be changed; make new ones")

    def __reduce__(self) -> tuple[type[BlendshapeWeights], tuple[dict[str, float]]]:
        """Copies and pickles are made anew, since neither slots that refuse to be set nor proxies can be restored."""
        return BlendshapeWeights, (dict(self._by_name),)

    def __repr__(self) -> str:
        return f"BlendshapeWeights({dict(self._by_name)!r})"
