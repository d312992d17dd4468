"""How well expressions are predicted that no picture shows, by the head model's own shapes and by the person's.

A person outside the head's family (`personal_people.py`) is fitted: neutral from eleven cameras, and one instance of each of three
expressions from three. Scored is another instance of each: at half strength, or on one side of the face alone. Its weights follow from
those that the fit found for the first instance by a rule that looks at names and at nothing of the second one: half of every weight;
or those of the one side, none of the other, half of what has no side. The truth's weights follow by the same rule. The generic avatar
has the fit's own weights and the head model's shapes, the personal one what `recon.personal_shapes` made of both, from the same fit.
Geometry is predicted from weights alone, no correction of any picture, and placed on the truth by a rigid motion found on the face, as
weights say nothing of the head's pose; distances go from the face of the truth to the prediction.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import numpy as np
from scipy.spatial.transform import Rotation

from assets.drawn import drawn_triangles
from benchmarks.personal_people import OUTSIDE, capture_of, truth_of
from benchmarks.stand_in_specs import EXPRESSIONS
from recon import Avatar, FitSettings, fit, load_capture
from recon.personal_shapes import with_personal_shapes
from render import RayScene

INSTANCES = ("half", "left", "right")
FULL = "full"
KEPT = 0.85
"""Share of the nearest points that the rigid motion is found by."""
_ROUNDS = 30


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One expression's instance, predicted from weights."""

    person: str
    head: str
    expression: str
    instance: str
    """One of INSTANCES; FULL is what the shapes were learned from."""
    generic_mm: float
    """Median over the face."""
    personal_mm: float
    generic_p95_mm: float
    personal_p95_mm: float


def side_rule(weights: Mapping[str, float], instance: str) -> dict[str, float]:
    """The weights of another instance of an expression, by the names of the shapes alone."""
    share = {FULL: (1.0, 1.0, 1.0), "half": (0.5, 0.5, 0.5), "left": (1.0, 0.0, 0.5), "right": (0.0, 1.0, 0.5)}[instance]
    out = {}
    for name, weight in weights.items():
        # A jaw or mouth that goes to one side is no side's own movement.
        has_side = name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
        side = 0 if has_side and name.endswith("Left") else 1 if has_side and name.endswith("Right") else 2
        out[name] = share[side] * weight
    return {name: weight for name, weight in out.items() if weight}


def fitted_pair(name: str, head: str, work: Path) -> tuple[Avatar, Avatar]:
    """The avatar with the head model's shapes and the one with the person's, of one fit."""
    case = capture_of(name, work)
    with patch("recon.fitting.with_personal_shapes", lambda avatar, progress=None: avatar):
        generic = fit(load_capture(case.source, cameras=case.cameras), FitSettings(head=head, texture=False))
    return generic, with_personal_shapes(generic)


def predictions(name: str, head: str, work: Path) -> list[Prediction]:
    """All expressions and instances of one person fitted with one head."""
    generic, personal = fitted_pair(name, head, work)
    return scored(name, head, generic, personal, capture_of(name, work).folder)


def scored(name: str, head: str, generic: Avatar, personal: Avatar, folder: Path) -> list[Prediction]:
    """The predictions of two avatars of one person."""
    with np.load(folder / "truth.npz") as stored:
        T_world_head, face = stored["T_world_head"], stored["face"]
    rows = []
    for expression in EXPRESSIONS:
        if expression == "neutral":
            continue
        for instance in (FULL, *INSTANCES):
            truth = truth_of(name, side_rule(EXPRESSIONS[expression], instance), T_world_head)[0][face]
            found = [distances_mm(avatar, side_rule(weights_of(avatar, expression), instance), truth) for avatar in (generic, personal)]
            middle, far = ([round(float(np.quantile(mm, q)), 4) for mm in found] for q in (0.5, 0.95))
            rows.append(Prediction(name, head, expression, instance, *middle, *far))
    return rows


def weights_of(avatar: Avatar, expression: str) -> Mapping[str, float]:
    """What the fit found for the pictures of an expression."""
    for view in avatar.views:
        if Path(view.name).name.startswith(f"{expression}_") and view.T_world_head is not None:
            return view.weights
    raise SystemExit(f"no picture of {expression} was registered")


def distances_mm(avatar: Avatar, weights: Mapping[str, float], truth: np.ndarray) -> np.ndarray:
    """(N,) from the truth's points (N, 3), world, to the avatar with these weights, after a rigid motion."""
    T, vertices, triangles = avatar.T_world_head, avatar.vertices(weights), drawn_triangles(avatar.head)
    vertices = vertices @ T[:3, :3].T + T[:3, 3]
    scene, corners = RayScene(vertices, triangles), vertices[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    points = truth
    for _ in range(_ROUNDS):
        points = _step(points, scene, normals)
    return 1e3 * scene.closest(points).distance.astype(np.float64)


def _step(points: np.ndarray, scene: RayScene, normals: np.ndarray) -> np.ndarray:
    """The points after one step of trimmed point-to-plane ICP (Chen & Medioni 1991; Chetverikov et al. 2002)."""
    nearest = scene.closest(points)
    kept = nearest.distance <= np.quantile(nearest.distance, KEPT)
    p, n, centre = points[kept], normals[nearest.triangle_index[kept]], points.mean(0)
    jacobian = np.hstack([np.cross(p - centre, n), n])
    step = np.linalg.lstsq(jacobian, ((nearest.position[kept] - p) * n).sum(1), rcond=None)[0]
    return (points - centre) @ Rotation.from_rotvec(step[:3]).as_matrix().T + centre + step[3:]


def figures(rows: list[Prediction]) -> dict[str, float]:
    """personal_smile.HEAD.median_mm and .gain, by person too, over the instances that nothing was learned from.

    Without a head's name: of the head that does worse.
    """
    out: dict[str, float] = {}
    for head in OUTSIDE:
        for person in ("", *OUTSIDE[head]):
            held = [r for r in rows if r.head == head and r.instance != FULL and person in ("", r.person)]
            if held:
                key = f"personal_smile.{head}" + (f".{person}" if person else "")
                personal, generic = (float(np.mean(values)) for values in zip(*((r.personal_mm, r.generic_mm) for r in held), strict=True))
                out |= {f"{key}.median_mm": round(personal, 4), f"{key}.generic_mm": round(generic, 4)}
                out |= {f"{key}.gain": round(1 - personal / generic, 4), f"{key}.worst_mm": max(r.personal_mm for r in held)}
    heads = [head for head in OUTSIDE if f"personal_smile.{head}.gain" in out]
    if heads:
        out["personal_smile.median_mm"] = max(out[f"personal_smile.{head}.median_mm"] for head in heads)
        out["personal_smile.gain"] = min(out[f"personal_smile.{head}.gain"] for head in heads)
    return out
