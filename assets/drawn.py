"""Which of a head's triangles pictures are made of."""

from __future__ import annotations

import numpy as np

from assets.head_model import PARTS, HeadModel


def drawn_triangles(head: HeadModel) -> np.ndarray:
    """(F, 3) int32: the head's triangles for pictures and for what hides what, eyelashes folded into points that no ray meets.

    Lashes are finer than a pixel of a depth or normal map, which would show them as spikes before the eye, and the texture has
    the lashes that the photos show. Exports keep them. Each triangle keeps its place, so landmarks stay on theirs.
    """
    lashes = head.triangle_parts == PARTS.index("lashes")
    return np.where(lashes[:, None], head.triangles[:, :1], head.triangles)
