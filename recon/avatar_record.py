"""What of an avatar goes into avatar.json and avatar.safetensors, and the avatar from both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from assets.blendshapes import check_weights
from assets.head_model import HeadModel
from assets.landmarks import LandmarkEmbedding
from recon.avatar import Avatar, FittedView, NamedExpression, ShapeEvidence
from recon.capture import ViewStatus
from recon.solve.unlike_skin import LABELS
from recon.stored_head import stored_head_record
from recon.uncertainty import Uncertainty
from render.camera import Camera
from render.sweep import Light

SCHEMA_VERSION = 2
"""1: geometry, albedo, light. 2: normal map, hair mask, corrected shapes and their evidence, gain of each view."""

_FIGURES = ("residual_px", "yaw_deg", "pitch_deg", "roll_deg")


def distinct_corrections(avatar: Avatar) -> list[np.ndarray]:
    """The views' corrections, each array once: views of one instant share it."""
    return list({id(view.correction): view.correction for view in avatar.views if view.correction is not None}.values())


def avatar_tensors(avatar: Avatar) -> dict[str, np.ndarray]:
    """The arrays of avatar.safetensors by name."""
    corrections = distinct_corrections(avatar)
    extra = {"corrections": np.stack(corrections)} if corrections else {}
    if avatar.uncertainty is not None:
        extra["uncertainty.vertex_sd_mm"] = avatar.uncertainty.vertex_sd_mm
    if avatar.skin_labels is not None:
        extra["skin_labels"] = avatar.skin_labels
    if avatar.shape_corrections:
        extra["shape_corrections"] = np.stack(list(avatar.shape_corrections.values()))
    return extra | {
        "identity_coeffs": avatar.identity_coeffs,
        "offsets": avatar.offsets,
        "T_world_head": avatar.T_world_head,
        "light.sh_linear": avatar.light.sh_linear,
        "landmarks.triangle_index": avatar.landmarks.triangle_index,
        "landmarks.barycentric": avatar.landmarks.barycentric,
        "landmarks.spread_mm": avatar.landmarks.spread_mm,
    }


def avatar_record(avatar: Avatar) -> dict[str, Any]:
    """What avatar.json holds."""
    head = avatar.head
    return {
        "schema": "recon.avatar",
        "schema_version": SCHEMA_VERSION,
        "head": stored_head_record(head),
        "scale": avatar.scale,
        "scale_error": avatar.scale_error,
        "scale_source": avatar.scale_source,
        "region_sd_mm": None if avatar.uncertainty is None else {k: float(v) for k, v in avatar.uncertainty.region_sd_mm.items()},
        "expression_scale": float(avatar.expression_scale),
        "landmarks": {"scheme": avatar.landmarks.scheme, "topology_hash": avatar.landmarks.topology_hash},
        "views": [_view_record(view, [id(correction) for correction in distinct_corrections(avatar)]) for view in avatar.views],
        "notes": list(avatar.notes),
        "normal_map": avatar.normal_map is not None,
        "hair_mask": avatar.hair_mask is not None,
        "shape_corrections": list(avatar.shape_corrections),
        "shape_evidence": {name: _evidence_record(evidence) for name, evidence in avatar.shape_evidence.items()},
    }


def _evidence_record(evidence: ShapeEvidence) -> dict[str, Any]:
    counts = {"num_views": int(evidence.num_views), "num_instants": int(evidence.num_instants)}
    return counts | {"max_weight": float(evidence.max_weight)}


def upgraded(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of this or an older schema version as one of SCHEMA_VERSION; raises KeyError for a version that is not known.

    Version 1 had none of the fields of version 2: an avatar of it has the head model's own shapes and no maps but the albedo.
    """
    added = {SCHEMA_VERSION: {}, 1: {"normal_map": False, "hair_mask": False, "shape_corrections": [], "shape_evidence": {}}}
    return {**record, **added[record["schema_version"]], "schema_version": SCHEMA_VERSION}


def _view_record(view: FittedView, corrections: list[int]) -> dict[str, Any]:
    return {
        "name": view.name,
        "status": view.status,
        "reason": view.reason,
        "camera": None if view.camera is None else view.camera.to_dict(),
        "T_world_head": None if view.T_world_head is None else np.asarray(view.T_world_head, np.float64).tolist(),
        "weights": {name: float(weight) for name, weight in view.weights.items()},
        "correction": None if view.correction is None else corrections.index(id(view.correction)),
        "gain_linear": None if view.gain_linear is None else [float(gain) for gain in view.gain_linear],
        **{name: _number(getattr(view, name)) for name in _FIGURES},
    }


def _number(value: float) -> float | None:
    """JSON knows no nan: unknown is null there."""
    return None if math.isnan(value) else float(value)


def avatar_of(
    head: HeadModel,
    record: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    pictures: Mapping[str, np.ndarray],
    expressions: tuple[NamedExpression, ...] = (),
) -> Avatar:
    """The avatar of avatar.json, already `upgraded`, and what lies beside it; `pictures` go by the names of Avatar's fields.

    Raises KeyError, TypeError, AttributeError, ValueError or ReconError for a record that is not one of `avatar_record`; shapes of the
    arrays are the caller's to check.
    """
    landmarks = LandmarkEmbedding(
        scheme=record["landmarks"]["scheme"],
        topology_hash=record["landmarks"]["topology_hash"],
        triangle_index=tensors["landmarks.triangle_index"],
        barycentric=tensors["landmarks.barycentric"],
        spread_mm=tensors["landmarks.spread_mm"],
    )
    # Views of one instant share one array, as they did when they were saved.
    corrections = list(tensors.get("corrections", ()))
    return Avatar(
        head=head,
        identity_coeffs=tensors["identity_coeffs"],
        offsets=tensors["offsets"],
        scale=_one_of("scale", record["scale"], ("metric", "relative")),
        T_world_head=tensors["T_world_head"],
        landmarks=landmarks,
        albedo_srgb=pictures["albedo_srgb"],
        confidence=pictures["confidence"],
        light=Light(tensors["light.sh_linear"]),
        views=tuple(_view(view, corrections) for view in record["views"]),
        notes=tuple(map(str, record["notes"])),
        # Avatars saved before the field was there were all posed with the blendshapes as they are.
        expression_scale=_positive("expression_scale", record.get("expression_scale", 1.0)),
        scale_error=None if record.get("scale_error") is None else _positive("scale_error", record["scale_error"]),
        scale_source=str(record.get("scale_source") or ""),
        uncertainty=_uncertainty(record, tensors),
        skin_labels=_skin_labels(tensors.get("skin_labels")),
        normal_map=pictures.get("normal_map"),
        hair_mask=pictures.get("hair_mask"),
        shape_corrections=_shape_corrections(record["shape_corrections"], tensors),
        shape_evidence={name: _evidence(name, evidence) for name, evidence in record["shape_evidence"].items()},
        expressions=expressions,
    )


def _shape_corrections(names: list[str], tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The array has one (V, 3) for each name, in the names' order."""
    if not names:
        return {}
    check_weights(dict.fromkeys(names, 1.0))
    return dict(zip(names, tensors["shape_corrections"], strict=True))


def _evidence(name: str, record: Mapping[str, Any]) -> ShapeEvidence:
    check_weights({name: 1.0})
    counts = [_count(f"{key} of {name}", record[key]) for key in ("num_views", "num_instants")]
    return ShapeEvidence(*counts, max_weight=_finite(f"max_weight of {name}", record["max_weight"]))


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} {value!r}")
    return value


def _skin_labels(stored: np.ndarray | None) -> np.ndarray | None:
    """None for avatars that were saved without them."""
    if stored is not None and (stored.dtype != np.uint8 or stored.max(initial=0) >= len(LABELS)):
        raise ValueError(f"skin_labels of {stored.dtype} up to {stored.max(initial=0)}")
    return stored


def _uncertainty(record: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Uncertainty | None:
    """None for avatars that were saved without it."""
    if record.get("region_sd_mm") is None:
        return None
    by_region = {str(name): _positive(f"region_sd_mm {name}", sd) for name, sd in record["region_sd_mm"].items()}
    vertex_sd_mm = tensors["uncertainty.vertex_sd_mm"]
    if (vertex_sd_mm < 0).any():
        raise ValueError("a negative uncertainty.vertex_sd_mm")
    return Uncertainty(vertex_sd_mm, by_region)


def _positive(name: str, value: Any) -> float:
    if _finite(name, value) <= 0:
        raise ValueError(f"{name} {value!r}")
    return float(value)


def _one_of(name: str, value: Any, known: tuple[Any, ...]) -> Any:
    if value not in known:
        raise ValueError(f"{name} {value!r}")
    return value


def _finite(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} {value!r}")
    return float(value)


def _view(record: Mapping[str, Any], corrections: list[np.ndarray]) -> FittedView:
    camera, T_world_head = record["camera"], record["T_world_head"]
    # Avatars saved before there were corrections have none.
    correction = record.get("correction")
    if T_world_head is not None and np.shape(T_world_head) != (4, 4):
        raise ValueError(f"T_world_head of shape {np.shape(T_world_head)}")
    return FittedView(
        name=str(record["name"]),
        status=_one_of("status", record["status"], get_args(ViewStatus)),
        reason=str(record["reason"]),
        camera=None if camera is None else Camera.from_dict(camera),
        T_world_head=None if T_world_head is None else np.array(T_world_head, np.float64),
        weights={str(name): _finite(f"weight {name}", weight) for name, weight in record["weights"].items()},
        **{name: math.nan if record[name] is None else _finite(name, record[name]) for name in _FIGURES},
        correction=None if correction is None else _chosen(corrections, correction),
        gain_linear=_gain(record.get("gain_linear")),
    )


def _gain(value: Any) -> tuple[float, float, float] | None:
    """None where unknown, and in avatars of version 1."""
    if value is None:
        return None
    red, green, blue = (_positive("gain_linear", gain) for gain in value)
    return red, green, blue


def _chosen(corrections: list[np.ndarray], index: Any) -> np.ndarray:
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(corrections):
        raise ValueError(f"correction {index!r} of {len(corrections)}")
    return corrections[index]
