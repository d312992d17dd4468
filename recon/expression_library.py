"""The person's own expressions: found in the frames of the capture, named, looked up by name, and told in words.

Two faces are alike when they move the skin alike: the distance of two instants is one minus the cosine between their displacements of
the face, so that a smile at half strength is the same expression as the smile at its height. Instants at rest are left out. What is
kept of an expression is how it looked at its height, as it was measured: left and right stay different where they were.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence

import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES, check_weights, vector_to_weights, weights_to_vector
from assets.errors import RangeError
from assets.head_model import PARTS, REGIONS
from recon.avatar import Avatar, FittedView, NamedExpression
from recon.expression_names import name_of, numbered

LIVELY_MM = 1.5
"""A face that moves no skin by more than this is at rest, as for the corrections of `recon.solve.corrections`."""
ALIKE = 0.7
"""Faces whose displacements have at least this cosine on average are one expression: below it, half of the motion is another one."""
AT_HEIGHT = 0.8
"""The instants of an expression at least this strong, against its strongest, are its height."""
KEPT_ABOVE = 0.05
"""Weights below this are not part of an expression: they are within what a fit is off."""
GAZE = "eyeLook"
"""Where the eyes look is not an expression."""
BLINK = "eyeBlink"
"""Lids that close during an expression are a blink, which comes and goes beside it; alone they are an expression of their own."""


@dataclasses.dataclass(frozen=True)
class Resemblance:
    """The named expression nearest to some weights."""

    expression: NamedExpression
    cosine: float
    """Of the displacements of the face, 1 where they move every point alike."""
    strength: float
    """How far the weights go, in shares of the named expression's."""


def find_expressions(avatar: Avatar) -> tuple[NamedExpression, ...]:
    """The expressions of an avatar's registered views, the strongest first, named by their shapes; () where all are at rest.

    Average linkage over instants, cut at ALIKE; deterministic, whatever the order of the views.
    """
    motions = FaceMotions(avatar)
    instants = [(weights, views) for weights, views in instants_of(avatar) if motions.largest_mm(weights) > LIVELY_MM]
    if not instants:
        return ()
    moved = np.stack([motions.of(weights).ravel() for weights, _ in instants])
    strength = np.linalg.norm(moved, axis=1)
    found = []
    for members in clusters(moved):
        high = members[strength[members] >= AT_HEIGHT * strength[members].max()]
        mean = np.mean([weights_to_vector(instants[m][0]) for m in high], axis=0)
        weights = {name: round(weight, 3) for name, weight in vector_to_weights(mean, above=KEPT_ABOVE).items()}
        views = tuple(sorted(view for m in members for view in instants[m][1]))
        found.append((float(strength[members].max()), weights, views))
    found = sorted((item for item in found if item[1]), key=lambda item: (-item[0], item[2]))
    names = numbered([name_of(weights, motions.importance) for _, weights, _ in found])
    return tuple(NamedExpression(name, weights, views) for name, (_, weights, views) in zip(names, found, strict=True))


def with_expressions(avatar: Avatar) -> Avatar:
    """The avatar with the expressions that `find_expressions` finds."""
    return dataclasses.replace(avatar, expressions=find_expressions(avatar))


def instants_of(avatar: Avatar) -> list[tuple[dict[str, float], tuple[str, ...]]]:
    """Weights that count as expression, and names of the views, of each moment of the capture; sorted by its first view's name.

    Views of one moment have equal weights and one correction; gaze is left out, and so are blinks beside something livelier.
    """
    groups: dict[tuple[int, tuple[tuple[str, float], ...]], list[FittedView]] = {}
    for view in sorted(avatar.views, key=lambda view: view.name):
        if view.T_world_head is not None:
            key = (0 if view.correction is None else id(view.correction), tuple(sorted(view.weights.items())))
            groups.setdefault(key, []).append(view)
    motions = FaceMotions(avatar)
    found = []
    for views in groups.values():
        weights = {name: weight for name, weight in views[0].weights.items() if not name.startswith(GAZE)}
        without = {name: weight for name, weight in weights.items() if not name.startswith(BLINK)}
        found.append((without if motions.largest_mm(without) > LIVELY_MM else weights, tuple(view.name for view in views)))
    return found


class FaceMotions:
    """How ARKit weights move this avatar's face."""

    def __init__(self, avatar: Avatar) -> None:
        head = avatar.head
        on_face = (head.vertex_parts == PARTS.index("skin")) & (head.vertex_regions == REGIONS.index("face"))
        self._shapes = avatar.blendshape_deltas[:, on_face]
        rms = 1e3 * np.sqrt(np.square(self._shapes).sum(2).mean(1))
        self.importance: Mapping[str, float] = dict(zip(ARKIT_BLENDSHAPES, rms.tolist(), strict=True))
        """Root mean square motion of the face in mm at weight 1, by shape."""

    def of(self, weights: Mapping[str, float]) -> np.ndarray:
        """(F, 3) metres: the displacement of the face's vertices."""
        return np.tensordot(weights_to_vector(weights), self._shapes, 1)

    def largest_mm(self, weights: Mapping[str, float]) -> float:
        """By how much the vertex that moves most is moved."""
        return 1e3 * float(np.linalg.norm(self.of(weights), axis=1).max(initial=0.0))


def clusters(moved: np.ndarray) -> list[np.ndarray]:
    """Indices of like rows of (N, D) displacements, none of them zero: average linkage on one minus the cosine, cut at ALIKE."""
    # The command line's help imports this file.
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(moved) == 1:
        return [np.array([0])]
    unit = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    distance = np.clip(1.0 - unit @ unit.T, 0.0, 2.0)
    np.fill_diagonal(distance, 0.0)
    labels = fcluster(linkage(squareform(distance, checks=False), "average"), 1.0 - ALIKE, "distance")
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def renamed(avatar: Avatar, old: str, new: str, *, meaning: str | None = None, when: str | None = None) -> Avatar:
    """The avatar with one of its expressions renamed, and annotated where words are given.

    Raises RangeError for a name that none has, an empty one, or one that another has already.
    """
    chosen = expression_named(avatar.expressions, old)
    if not new.strip() or (new != old and new in [e.name for e in avatar.expressions]):
        raise RangeError(expected="a name that no other expression has", got=repr(new), do="choose another name")
    notes = {key: value for key, value in (("meaning", meaning), ("when", when)) if value is not None}
    changed = dataclasses.replace(chosen, name=new, **notes)
    return dataclasses.replace(avatar, expressions=tuple(changed if e is chosen else e for e in avatar.expressions))


def expression_named(expressions: Sequence[NamedExpression], name: str) -> NamedExpression:
    """The expression of a name; raises RangeError, with the nearest name, where there is none."""
    for expression in expressions:
        if expression.name == name:
            return expression
    names = [expression.name for expression in expressions]
    near = difflib.get_close_matches(name, names, 1, 0.0)
    do = f"did you mean {near[0]!r}?" if near else "this avatar has no expressions of its own"
    raise RangeError(expected="the name of one of the person's expressions", got=repr(name), do=do)


def nearest_expression(avatar: Avatar, weights: Mapping[str, float]) -> Resemblance | None:
    """The named expression that weights resemble most; None where the face is at rest or none is like it (ALIKE).

    Raises RangeError for an unknown name or a weight that is not finite.
    """
    motions, own = FaceMotions(avatar), check_weights(weights)
    own = {name: weight for name, weight in own.items() if not name.startswith(GAZE)}
    if motions.largest_mm(own) <= LIVELY_MM:
        return None
    moved = motions.of(own).ravel()
    best: Resemblance | None = None
    for expression in avatar.expressions:
        other = motions.of(expression.weights).ravel()
        length = float(np.linalg.norm(other))
        if length > 0:
            cosine = float(moved @ other) / (length * float(np.linalg.norm(moved)))
            if cosine >= ALIKE and (best is None or cosine > best.cosine):
                best = Resemblance(expression, cosine, float(moved @ other) / length**2)
    return best


STRENGTHS = ((0.35, "a hint of "), (0.75, "half "), (1.25, ""), (float("inf"), "strong "))
"""Largest strength and the word for it."""
YAWS = ((12.0, "facing the camera"), (35.0, "slightly turned"), (65.0, "three quarter view"), (181.0, "profile view"))
"""Largest yaw in degrees, either way, and the words for it."""
TILTED_DEG = 10.0
"""Pitch from which a caption says that the person looks up or down."""


def expression_words(avatar: Avatar, weights: Mapping[str, float]) -> str:
    """What a face with these weights does, in words: "half smile", a name by its shapes where the person has none like it, "neutral".

    Where the user has said what an expression means, that follows in brackets.
    """
    found = nearest_expression(avatar, weights)
    if found is not None:
        word = next(word for limit, word in STRENGTHS if found.strength <= limit)
        meaning = found.expression.meaning
        return f"{word}{found.expression.name}" + (f" ({meaning})" if meaning else "")
    motions = FaceMotions(avatar)
    seen = {name: weight for name, weight in weights.items() if not name.startswith(GAZE)}
    return name_of(seen, motions.importance) if motions.largest_mm(seen) > LIVELY_MM else "neutral"


def pose_words(yaw_deg: float, pitch_deg: float = 0.0) -> str:
    """A head pose as the camera sees it, in words; positive yaw is the subject's own left, positive pitch looks up."""
    words = next(words for limit, words in YAWS if abs(yaw_deg) <= limit)
    side = "" if abs(yaw_deg) <= YAWS[0][0] else (" to the left" if yaw_deg > 0 else " to the right")
    tilt = "" if abs(pitch_deg) <= TILTED_DEG else (", looking up" if pitch_deg > 0 else ", looking down")
    return f"{words}{side}{tilt}"


def caption_of(avatar: Avatar, weights: Mapping[str, float], yaw_deg: float, pitch_deg: float = 0.0, *, subject: str = "the person") -> str:
    """A caption from measured pose and expression: "photo of the person, slightly turned to the left, half smile"."""
    return f"photo of {subject}, {pose_words(yaw_deg, pitch_deg)}, {expression_words(avatar, weights)}"
