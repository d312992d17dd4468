"""What the fit took for skin and what it did not believe: the head from three sides, hair, beard, glasses and cloth in colour."""

from __future__ import annotations

import numpy as np

from recon.avatar import Avatar
from recon.solve.unlike_skin import LABELS
from recon.uncertainty import AREAS, vertex_areas
from studio.check_canvas import CARD, INK, Canvas
from studio.heat import SIDES_DEG, TILE_PX, side_picture

LABEL_SRGB: tuple[tuple[int, int, int], ...] = ((214, 214, 210), (236, 205, 178), (116, 74, 152))
"""Colours of LABELS: grey, skin, violet."""

WORDS = ("not seen", "believed to be skin", "not believed: hair, beard, glasses or cloth")

MIN_SHARE = 0.05
"""Of the seen vertices of an area, from which it is named."""


def draw_skin_map(avatar: Avatar, labels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 sRGB: three sides beside each other and what the colours mean; `labels` (V,) are the avatar's."""
    width, height = TILE_PX
    canvas = Canvas(3 * width + 60, height + 104)
    canvas.card(10, 10, canvas.width - 20, canvas.height - 20, fill=CARD)
    mesh = avatar.mesh()
    shares = np.eye(len(LABELS), dtype=np.float32)[labels]

    def colours(corners: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        # The label that most of a point's triangle has, so that borders are lines and not smears.
        return np.array(LABEL_SRGB, np.float32)[(shares[corners] * barycentric[..., None]).sum(1).argmax(1)]

    for k, yaw_deg in enumerate(SIDES_DEG):
        canvas.paste(side_picture(mesh, colours, yaw_deg, width, height), 30 + k * width, 24)
    x = 60.0
    for words, colour in zip(WORDS, LABEL_SRGB, strict=True):
        canvas.disc(x + 9, height + 58, 9, colour)
        canvas.text(x + 28, height + 65, words, 20, INK)
        x += 80 + 10.5 * len(words)
    return canvas.picture()


def not_believed(avatar: Avatar, labels: np.ndarray) -> list[tuple[str, float]]:
    """Name of each area with something that was not believed, and its share of what pictures saw there; the largest first."""
    areas, found = vertex_areas(avatar.head), list[tuple[str, float]]()
    for index, name in enumerate(AREAS):
        seen = (areas == index) & (labels > 0)
        share = float((labels[seen] == 2).mean()) if index and seen.any() else 0.0
        found += [(name, share)] if share >= MIN_SHARE else []
    return sorted(found, key=lambda item: -item[1])


def skin_words(avatar: Avatar) -> str:
    """What the map says in one or two sentences; "" for an avatar without labels."""
    if avatar.skin_labels is None:
        return ""
    found = not_believed(avatar, avatar.skin_labels)
    if not found:
        return "Nothing that the pictures show on the head was taken for anything else than this person's skin."
    named = ", ".join(f"{name} ({100 * share:.0f} %)" for name, share in found)
    return f"Not believed of what the pictures show: {named}. There the shape is what the head model and the skin around it say."
