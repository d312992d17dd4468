"""An occlusion map for viewers that trace no rays: nostrils, ears and the inside of the mouth are dark there.

Without it a viewer lights the inside of the nose as it lights the cheek (Khronos, glTF 2.0, section 3.9.3).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from assets.drawn import drawn_triangles
from recon.avatar import Avatar
from render.hollows import hidden_shares
from render.quality import uv_texels

SIDE = 512
"""Texels of the map: it is made by vertices, which are 1 to 5 mm apart."""

OPEN = 0.4
"""Share of the sky from which on nothing is darkened. Shallow hollows (sockets of the eyes, wings of the nose) see more than
that, and what the photos show of their shade is in the albedo already."""

REACH_M = 0.06
"""What lies farther away hides nothing: the depth of a mouth."""

POSES = (
    {},
    {"jawOpen": 0.6, "mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5, "mouthLowerDownLeft": 0.5, "mouthLowerDownRight": 0.5},
    {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
)
"""A place is as dark as where it is least hidden: teeth behind closed lips, or a lid in its fold, would be black in the light."""


def occlusion_map(avatar: Avatar) -> np.ndarray:
    """(SIDE, SIDE) uint8 in the albedo's chart, row 0 at v = 1: 255 open, 0 in the depth; texels beside the charts as their neighbours."""
    head = avatar.head
    triangles = drawn_triangles(head)
    hidden = np.min([hidden_shares(avatar.vertices(pose), triangles, reach_m=REACH_M) for pose in POSES], axis=0)
    share = np.clip((1 - hidden) / OPEN, 0, 1)
    # Level at both ends, so that the darkness sets in without a line.
    brightness = share * share * (3 - 2 * share)
    texels = uv_texels(head.uvs, head.triangle_uvs, SIDE)
    corners = brightness[head.triangles[np.maximum(texels.face_id, 0)]]
    values = (corners * np.nan_to_num(texels.barycentric)).sum(-1)
    nearest = np.asarray(distance_transform_edt(texels.face_id < 0, return_distances=False, return_indices=True))
    return np.round(255 * values[nearest[0], nearest[1]]).astype(np.uint8)
