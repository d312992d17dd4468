"""Gaze on any head: eyeballs turned about their own centres, lids that follow."""

from __future__ import annotations

import functools

import numpy as np
from scipy.spatial.transform import Rotation

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.errors import RangeError
from assets.head_model import PARTS, REGIONS, HeadModel

EYES = ("eye_left", "eye_right")
"""Parts of the eyeballs, the subject's left first."""

MAX_LID_WEIGHT = 2.0
"""Lids follow a gaze beyond the reach of the `eyeLook*` shapes no farther than this multiple of them."""


def gaze_rotation(yaw_deg: float, pitch_deg: float) -> np.ndarray:
    """(3, 3) float64 rotation `Ry(yaw) Rx(-pitch)` on column vectors of the head frame.

    Positive yaw looks to the subject's own left (+X), positive pitch up (+Y), relative to the head.
    """
    return Rotation.from_euler("YX", [yaw_deg, -pitch_deg], degrees=True).as_matrix()


def gaze_offsets(
    head: HeadModel,
    neutral: np.ndarray,
    *,
    yaw_deg: float,
    pitch_deg: float,
    scale: float = 1.0,
    centres: np.ndarray | None = None,
    lid_shares: tuple[float, float] = (1.0, 1.0),
) -> np.ndarray:
    """(V, 3) float32 metres: displacement of a person's head (V, 3) that looks somewhere; zero straight ahead.

    Each eyeball turns rigidly about its own centre (`HeadModel.eye_centres`). The lids follow by what the `eyeLook*` shapes do
    to everything but the eyeballs, in proportion to the angle: at the angle by which such a shape turns the average head's
    iris, the lids stand as in that shape. `scale` multiplies the lids' motion, for a head of another size than the model's;
    `centres` (2, 3) are those to turn about, by default those of the vertices given;
    `lid_shares` how much the left and right lids follow, 0 for closed ones. Heads without eyeballs do not move. Raises
    RangeError for angles that are not finite.
    """
    offsets = np.zeros_like(neutral, dtype=np.float32)
    if not np.isfinite([yaw_deg, pitch_deg]).all():
        raise RangeError(expected="finite angles of gaze", got=f"{yaw_deg=}, {pitch_deg=}", do="give degrees")
    if not (yaw_deg or pitch_deg) or not _is_ball(head).any():
        return offsets
    turn = gaze_rotation(yaw_deg, pitch_deg) - np.eye(3)
    for part, centre in zip(EYES, head.eye_centres(neutral) if centres is None else centres, strict=True):
        ball = head.vertex_parts == PARTS.index(part)
        offsets[ball] = (neutral[ball] - centre) @ turn.T
    for name, weight in lid_weights(head, yaw_deg=yaw_deg, pitch_deg=pitch_deg).items():
        lids = np.where(_is_ball(head)[:, None], 0, head.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)])
        offsets += np.float32(scale * weight * lid_shares[name.endswith("Right")]) * lids
    return offsets


def lid_weights(head: HeadModel, *, yaw_deg: float, pitch_deg: float) -> dict[str, float]:
    """Weights of the `eyeLook*` shapes whose lids fit a gaze: angle by angle of the shape, up to MAX_LID_WEIGHT."""
    sideways = {"Left": "Out" if yaw_deg > 0 else "In", "Right": "In" if yaw_deg > 0 else "Out"}
    wanted = {f"eyeLook{'Up' if pitch_deg > 0 else 'Down'}{side}": abs(pitch_deg) for side in sideways}
    wanted |= {f"eyeLook{way}{side}": abs(yaw_deg) for side, way in sideways.items()}
    angles = look_angles_deg(head)
    return {name: min(angle / angles[name], MAX_LID_WEIGHT) for name, angle in wanted.items() if angle and angles[name] > 1.0}


@functools.lru_cache(maxsize=8)
def look_angles_deg(head: HeadModel) -> dict[str, float]:
    """By how many degrees each `eyeLook*` shape turns the average head's iris at weight 1; 0 for a head without irises."""
    angles = {}
    for side, (part, suffix) in enumerate(zip(EYES, ("Left", "Right"), strict=True)):
        iris = (head.vertex_parts == PARTS.index(part)) & (head.vertex_regions == REGIONS.index("iris"))
        for way in ("Down", "In", "Out", "Up"):
            name = f"eyeLook{way}{suffix}"
            delta = head.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)]
            angles[name] = _turned_deg(head.vertices[iris].mean(0) - head.eye_centres()[side], delta[iris].mean(0)) if iris.any() else 0.0
    return angles


def _turned_deg(arm: np.ndarray, moved: np.ndarray) -> float:
    """Angle between an arm and where its end went."""
    cosine = arm @ (arm + moved) / max(float(np.linalg.norm(arm) * np.linalg.norm(arm + moved)), 1e-12)
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _is_ball(head: HeadModel) -> np.ndarray:
    return np.isin(head.vertex_parts, [PARTS.index(part) for part in EYES])
