"""Dark where no light gets to: nostrils and other hollows that no picture shows would otherwise be filled with the colour of their rims."""

from __future__ import annotations

import numpy as np

from assets.drawn import drawn_triangles
from assets.head_model import PARTS, HeadModel
from recon.texture_blend import GAMMA
from recon.texture_chart import Chart
from recon.texture_fill import push_pull
from render.hollows import hidden_shares

DARKEST = 0.03
"""What is left of the light at the bottom of a hollow: skin hands some of it on."""


def shade_filled(filled: np.ndarray, known: np.ndarray, head: HeadModel, neutral: np.ndarray, chart: Chart) -> np.ndarray:
    """(h, w, 3) window picture, linear ** (1 / GAMMA), with what was filled in as dark as its place is against where it came from.

    What a picture shows has its shadow in its colour already; a place filled from there has the shadow of there, not its own. The share
    of the sky that each sees (render/hollows.py, on the head at rest) says by how much to darken it; nothing becomes brighter.

    Args:
        filled: (h, w, 3) float32; known: (h, w) float32 in [0, 1], 1 where a picture showed the skin.
        neutral: (V, 3) of the avatar at rest.
    """
    is_skin = head.vertex_parts == PARTS.index("skin")
    sky = np.where(is_skin, 1 - hidden_shares(neutral, drawn_triangles(head)), 1.0)[:, None]
    own = chart.image(chart.points(sky, head.triangles))
    whence = push_pull(own, known)[..., :1]
    darker = np.clip(own / np.maximum(whence, 0.05), DARKEST, 1) ** (1 / GAMMA)
    share = known[..., None]
    return (filled * (share + (1 - share) * darker)).astype(np.float32)
