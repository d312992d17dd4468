"""Which views of an avatar show one moment: the cameras of a rig that fired together."""

from __future__ import annotations

import numpy as np

from assets.blendshapes import weights_to_vector
from recon.avatar import FittedView


def moment_of(view: FittedView) -> tuple[bytes, ...]:
    """The same for registered views of one moment: those with one head pose and one expression.

    A loose picture's head stays and its camera moves, so each is a moment of its own.
    """
    if view.T_world_head is None or view.camera is None:
        return (view.name.encode(),)
    is_loose = np.array_equal(view.T_world_head, np.eye(4))
    camera = view.camera.T_cam_world.tobytes() if is_loose else b""
    return weights_to_vector(view.weights).tobytes(), np.asarray(view.T_world_head).tobytes(), camera
