"""An avatar in its head model's own terms: coefficients that other tools built on ICT-FaceKit or FLAME read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from assets.atomic import written_beside
from assets.blendshapes import weights_to_vector
from assets.errors import InputError
from assets.head_model import REGIONS
from assets.heads import parse_head_name
from recon.avatar import Avatar, FittedView
from recon.export.own_terms import OwnMotion, flame_motion, ict_motion

FORMATS = (".npz", ".json")


@dataclasses.dataclass(frozen=True, eq=False)
class HeadParameters:
    """person = scale x (model(identity, expression) + free_form), in the head frame.

    The head frame is the model's own, in metres, moved so that the midpoint of the eyeballs' centres of the neutral is the origin.
    """

    model: Literal["ict", "flame"]
    source: str
    """Which release: commit, or the file's name and hash."""
    licence: str
    scale: float
    """Size of the person over the model's; its error is the avatar's."""
    identity_names: tuple[str, ...]
    identity: np.ndarray
    """(I,) float32 in standard deviations, as both models have them."""
    free_form_m: np.ndarray
    """(V, 3) float32 metres in the model's size: what the neutral has that the identity basis has not."""
    expression_names: tuple[str, ...]
    """The model's own names of its E expression parameters."""
    neutral_expression: np.ndarray
    """(E,) float32: what of the expression is in the neutral already, and in every view."""
    view_names: tuple[str, ...]
    """The registered pictures, N of them."""
    expression: np.ndarray
    """(N, E) float32 of each picture."""
    jaw_pose: np.ndarray | None
    """(N, 3) float32 rotation vector in radians of FLAME's jaw; None for ICT."""
    left_over_mm: np.ndarray
    """(N,) float32 median over the face of what of the picture's expression these parameters do not show."""
    T_cam_head: np.ndarray
    """(N, 4, 4) float64 head frame (metres, person's size) to the picture's camera."""
    K: np.ndarray
    """(N, 3, 3) float64 pixels."""
    not_carried: Mapping[str, str]
    """ARKit names that some picture uses and the model's parameters cannot say, with the reason."""

    @property
    def free_form_mm(self) -> dict[str, float]:
        """Median and 95th percentile over all vertices of the free-form part, in the person's size."""
        length = 1000 * self.scale * np.linalg.norm(self.free_form_m, axis=1)
        return {"median": float(np.median(length)), "p95": float(np.quantile(length, 0.95))}


def head_parameters(avatar: Avatar) -> HeadParameters:
    """The avatar's parameters in its head model's own terms.

    ICT: identity modes and expression weights are the avatar's own, one to one. FLAME: identity is, expressions are each
    picture's motion, its corrections included, projected onto FLAME's expression components and jaw. Raises InputError for an
    avatar on another head, MissingAssetError where FLAME's file is no longer there.
    """
    head = avatar.head
    family = head.name.split(":")[0].split("+")[0]
    if family not in ("ict", "flame"):
        raise InputError(
            expected="an avatar on the head ict or flame, whose parameters other tools read",
            got=f"one on the head {family!r}",
            do="fit with --head ict or --head flame:PATH, or export a mesh",
        )
    views = [view for view in avatar.views if view.camera is not None and view.T_world_head is not None]
    motions = [_motion(avatar, view) for view in views]
    flame_file = parse_head_name(head.name).file
    own = ict_motion(head, [weights_to_vector(view.weights) for view in views]) if flame_file is None else flame_motion(head, motions)
    used = {name for view in views for name, weight in view.weights.items() if weight > 0}
    return HeadParameters(
        model="ict" if flame_file is None else "flame",
        source=head.source,
        licence=head.licence,
        scale=float(avatar.expression_scale),
        identity_names=head.identity_names,
        identity=avatar.identity_coeffs.astype(np.float32),
        free_form_m=(avatar.neutral / avatar.expression_scale - head.neutral(avatar.identity_coeffs)).astype(np.float32),
        expression_names=own.names,
        neutral_expression=own.rest.astype(np.float32),
        view_names=tuple(view.name for view in views),
        expression=own.expression.astype(np.float32),
        jaw_pose=None if own.jaw_rad is None else own.jaw_rad.astype(np.float32),
        left_over_mm=_left_over_mm(avatar, motions, own),
        T_cam_head=np.array([_camera_pose(view) for view in views]).reshape(-1, 4, 4),
        K=np.array([view.camera.K for view in views if view.camera is not None]).reshape(-1, 3, 3),
        not_carried={name: reason for name, reason in own.not_carried.items() if name in used},
    )


def _motion(avatar: Avatar, view: FittedView) -> np.ndarray:
    """(V, 3) metres in the model's size: the picture's expression with all that corrects it, less the neutral."""
    return (avatar.view_vertices(view) - avatar.neutral) / avatar.expression_scale


def _camera_pose(view: FittedView) -> np.ndarray:
    return np.eye(4) if view.camera is None or view.T_world_head is None else view.camera.T_cam_world @ view.T_world_head


def _left_over_mm(avatar: Avatar, motions: list[np.ndarray], own: OwnMotion) -> np.ndarray:
    face = avatar.head.vertex_regions == REGIONS.index("face")
    shown = zip(motions, own.shown_m, strict=True)
    lengths = [1000 * avatar.expression_scale * np.linalg.norm((motion - moved)[face], axis=1) for motion, moved in shown]
    return np.array([np.median(length) for length in lengths], np.float32)


TERMS = {
    "ict": {"identity": "identity_weights", "expression": "expression_weights", "neutral_expression": "neutral_expression_weights"},
    "flame": {"identity": "betas", "expression": "expression", "neutral_expression": "neutral_expression"},
}
"""What the models' own users call the fields."""


def export_parameters(avatar: Avatar, path: Path | str) -> Path:
    """Write `head_parameters` as .npz, or as .json without `free_form_m`, under the model's own words for them; returns the path.

    ICT: `identity_weights`, `expression_weights` (N, 57) by `expression_names`, `neutral_expression_weights`. FLAME: `betas`,
    `expression` (N, 100), `jaw_pose` (N, 3). Raises InputError for another ending, and as `head_parameters` does.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise InputError(expected=f"a file of parameters ending in {' or '.join(FORMATS)}", got=str(path), do="choose one of these")
    parameters = head_parameters(avatar)
    record = _record(parameters)
    try:
        with written_beside(path) as beside:
            if path.suffix.lower() == ".npz":
                words = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in record.items()}
                with beside.open("wb") as file:
                    np.savez_compressed(file, **words, free_form_m=parameters.free_form_m)
            else:
                beside.write_text(json.dumps(record, indent=1, default=_plain, allow_nan=False), encoding="utf-8")
    except OSError as error:
        raise InputError(expected="a file that can be written", got=f"{path}: {error}", do="choose another one") from error
    return path


def _record(parameters: HeadParameters) -> dict[str, Any]:
    terms = TERMS[parameters.model]
    fields = {field.name: getattr(parameters, field.name) for field in dataclasses.fields(parameters)}
    kept = {terms.get(name, name): value for name, value in fields.items() if value is not None and name != "free_form_m"}
    return kept | {"not_carried": dict(parameters.not_carried), "free_form_mm": parameters.free_form_mm}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} in a record of parameters")
