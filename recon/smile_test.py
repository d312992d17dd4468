"""The one-image smile test: one expression asked of avatars that know more and more of the person, and how far each is from theirs.

An avatar of one photo can only answer with the head model's own shapes, on a head whose depth is a guess; that of the neutral photos
has the head right; that of the whole capture has seen the person do it. All three are asked by the same weights, and answer by
geometry from weights alone, without the correction of any picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from assets.errors import DetectionError
from assets.head_model import REGIONS
from assets.similarity import fit_similarity
from recon.avatar import Avatar, FittedView, NamedExpression
from recon.capture import Capture
from recon.expression_library import expression_named
from recon.fitting import FitSettings, fit
from recon.quality import geometry_error
from render import RayScene

Progress = Callable[[str, int, int], None]
Truth = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Vertices (W, 3) metres and triangles (G, 3) of the true head with the expression, and which vertices (W,) bool are face."""

KNOWS = ("one photo", "neutral photos", "full capture")
"""What each of the avatars was fitted to."""


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What one avatar makes of the expression."""

    knows: str
    """One of KNOWS."""
    num_photos: int
    avatar: Avatar
    vertices: np.ndarray
    """(V, 3) float32 metres, in the head frame of the full capture's avatar: neutral moved onto neutral by a similarity of the faces."""
    error_mm: float
    """Median over the face, from the truth to the answer; without a truth, from the head as fitted to the picture, correction included."""
    p95_mm: float
    off_mm: np.ndarray
    """(V,) distance of each vertex from the truth, or from the head as fitted to the picture."""


@dataclasses.dataclass(frozen=True, eq=False)
class SmileTest:
    """One expression, asked three times."""

    asked: NamedExpression
    view: FittedView
    """The picture of it that is seen most from the front."""
    answers: tuple[Answer, ...]
    """In the order of KNOWS."""
    has_truth: bool


def smile_test(
    capture: Capture,
    settings: FitSettings,
    *,
    expression: str = "",
    truth_of: Callable[[tuple[str, ...]], Truth | None] = lambda names: None,
    progress: Progress | None = None,
) -> SmileTest:
    """Fit three times and ask.

    Args:
        expression: name of one of the expressions that the full fit finds; "": what comes nearest to a smile, else the strongest.
        truth_of: from the names of the pictures that show the expression to the true head in them, None where it is unknown.

    Raises DetectionError where the capture shows no expression, or nothing else; RangeError for an expression that was not found; and
    whatever `recon.fit` raises.
    """
    full = fit(capture, settings, progress=_told(progress, KNOWS[2]))
    asked = choose_expression(full, expression)
    shown = [view for view in full.views if view.name in asked.views]
    view = min(shown, key=lambda view: abs(view.yaw_deg))
    calm = calm_views(full)
    frontal = min(calm, key=lambda view: (abs(view.yaw_deg), view.name))
    avatars, truth = [], truth_of(asked.views)
    for knows, views in zip(KNOWS[:2], ([frontal], calm), strict=True):
        names = {each.name for each in views}
        part = dataclasses.replace(capture, views=tuple(each for each in capture.views if each.name in names))
        avatars.append((knows, len(views), fit(part, settings, progress=_told(progress, knows))))
    used = sum(each.T_world_head is not None for each in full.views)
    asked_of = (*avatars, (KNOWS[2], used, full))
    answers = [answer(full, view, knows, count, avatar, truth) for knows, count, avatar in asked_of]
    return SmileTest(asked, view, tuple(answers), truth is not None)


def _told(progress: Progress | None, knows: str) -> Progress | None:
    return None if progress is None else lambda text, done, total: progress(f"{knows}: {text}", done, total)


def choose_expression(avatar: Avatar, name: str) -> NamedExpression:
    """The expression of a name; without one, the one with the most smile, or the strongest where none has any."""
    if not avatar.expressions:
        raise DetectionError(
            expected="a capture that shows an expression", got="faces at rest in all pictures", do="add a photo with a broad smile"
        )
    if name:
        return expression_named(avatar.expressions, name)
    smile = [sum(e.weights.get(f"mouthSmile{side}", 0.0) for side in ("Left", "Right")) for e in avatar.expressions]
    return avatar.expressions[int(np.argmax(smile))]


def calm_views(avatar: Avatar) -> list[FittedView]:
    """The registered views that show none of the avatar's expressions; raises DetectionError where there is none."""
    lively = {name for expression in avatar.expressions for name in expression.views}
    calm = [view for view in avatar.views if view.T_world_head is not None and view.name not in lively]
    if not calm:
        raise DetectionError(expected="a photo of the face at rest", got="expressions in all pictures", do="add photos of the face at rest")
    return calm


def answer(
    full: Avatar,
    view: FittedView,
    knows: str,
    num_photos: int,
    avatar: Avatar,
    truth: Truth | None,
) -> Answer:
    """One avatar's answer to the weights of a view, in the frame of the full one, and its error."""
    face = avatar.head.vertex_regions == REGIONS.index("face")
    placed = fit_similarity(avatar.neutral[face].astype(np.float64), full.neutral[face].astype(np.float64))
    vertices, triangles = placed.apply(avatar.vertices(view.weights).astype(np.float64)).astype(np.float32), avatar.head.triangles
    if truth is None:
        # Both in one frame and of one topology, but along the surface nobody knows what is right.
        target = full.view_vertices(view)
        mm = 1e3 * RayScene(vertices, triangles).closest(target[face]).distance.astype(np.float64)
        middle, far, T = float(np.median(mm)), float(np.quantile(mm, 0.95)), np.eye(4)
        target_triangles = triangles
    else:
        target, target_triangles, mask = truth
        found = geometry_error(vertices, triangles, target, target_triangles, mask=mask, align="similarity")
        middle, far, T = found.median_mm, found.p95_mm, found.T_fitted_truth
    moved = target @ T[:3, :3].T + T[:3, 3]
    off_mm = 1e3 * RayScene(moved, target_triangles).closest(vertices).distance.astype(np.float64)
    return Answer(knows, num_photos, avatar, vertices, middle, far, off_mm)
