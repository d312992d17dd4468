"""A person's head with an expression and a gaze: the one place where shapes, eyeballs and lids come together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES, check_weights, weights_to_vector
from assets.gaze import gaze_offsets
from assets.head_model import HeadModel
from assets.lids import closing_deltas, lids_outside


def personal_deltas(
    head: HeadModel, neutral: np.ndarray, *, scale: float = 1.0, corrections: Mapping[str, np.ndarray] | None = None
) -> np.ndarray:
    """(52, V, 3) float32 metres at weight 1: the head's shapes for one neutral (V, 3), with blinks that close on it.

    `scale` is the size of the neutral in sizes of the head model; the shapes are multiplied by it. `corrections` are (V, 3)
    metres in the neutral's size by ARKit name, added to the shapes before the blinks are made to close; an unknown name raises
    RangeError.
    """
    size = np.float32(scale)
    if not corrections:
        return size * closing_deltas(head, neutral / size)
    check_weights(dict.fromkeys(corrections, 1.0))
    shapes = head.blendshape_deltas.copy()
    for name, correction in corrections.items():
        shapes[ARKIT_BLENDSHAPES.index(name)] += correction / size
    return size * closing_deltas(head, neutral / size, shapes)


def pose_vertices(
    head: HeadModel,
    neutral: np.ndarray,
    deltas: np.ndarray,
    weights: Mapping[str, float],
    *,
    yaw_deg: float = 0.0,
    pitch_deg: float = 0.0,
    scale: float = 1.0,
) -> np.ndarray:
    """(V, 3) float32 metres, head frame: a neutral (V, 3) with ARKit weights over its own `personal_deltas` and a gaze.

    `eyeLook*` weights and the gaze add up: the weights displace the eyeballs first, the gaze turns the result. Then the lids
    are kept out of the eyeballs. Raises RangeError for an unknown name, or a weight or angle that is not finite.
    """
    vector = weights_to_vector(weights)
    used = np.flatnonzero(vector)
    vertices = neutral + np.tensordot(vector[used], deltas[used], 1)
    if yaw_deg or pitch_deg:
        # A lid that closes no longer follows the eye: else an upward gaze would open a blink.
        open_left, open_right = (float(np.clip(1 - weights.get(name, 0.0), 0, 1)) for name in ("eyeBlinkLeft", "eyeBlinkRight"))
        vertices += gaze_offsets(
            head,
            vertices,
            yaw_deg=yaw_deg,
            pitch_deg=pitch_deg,
            scale=scale,
            centres=head.eye_centres(neutral),
            lid_shares=(open_left, open_right),
        )
    return lids_outside(head, vertices, neutral, scale=scale)
