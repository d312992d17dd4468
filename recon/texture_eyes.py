"""Eyeballs, teeth and mouth: what the pictures show of them, completed by plain models in the measured colours."""

from __future__ import annotations

import dataclasses

import numpy as np

from assets.head_model import PARTS, HeadModel
from recon.texture_chart import Chart

IRIS_RADIUS_M = 0.0059
"""Radius of the visible iris; it varies little between adults (horizontal diameter 11.7 mm +- 0.5)."""
PUPIL_SHARE = 0.36
"""Pupil radius as a share of the iris's, indoors."""
SCLERA_LINEAR = np.array([0.66, 0.60, 0.56], np.float32)
IRIS_LINEAR = np.array([0.10, 0.055, 0.03], np.float32)
SKIN_LINEAR = np.array([0.45, 0.25, 0.18], np.float32)
PUPIL_LINEAR = np.array([0.006, 0.005, 0.005], np.float32)
MOSTLY = 0.75
"""Share of what was seen of an eyeball that must look like an eye for it to be used."""
MOUTH_LINEAR = {
    "teeth_upper": (0.62, 0.55, 0.44),
    "teeth_lower": (0.57, 0.50, 0.40),
    "tongue": (0.36, 0.13, 0.12),
    "mouth_socket": (0.20, 0.055, 0.05),
    "lashes": (0.02, 0.015, 0.012),
}
"""Plain colours of what the pictures rarely show, linear RGB."""


@dataclasses.dataclass(frozen=True, eq=False)
class EyeColours:
    """Measured where the eye was seen, else the defaults above."""

    sclera_linear: np.ndarray
    iris_linear: np.ndarray
    iris_measured: bool


@dataclasses.dataclass(frozen=True, eq=False)
class _Eyeball:
    texels: np.ndarray
    """(M,) index into the chart's texels."""
    radius: np.ndarray
    """(M,) angle from the eye's forward axis as a share of the iris's: 1 at the iris's rim."""
    around: np.ndarray
    """(M,) radians about the forward axis."""
    offset: np.ndarray
    """(M, 2) right and up on the iris, in iris radii."""


def paint_eyes(colour: np.ndarray, seen: np.ndarray, head: HeadModel, chart: Chart) -> tuple[np.ndarray, np.ndarray, EyeColours]:
    """Complete the eyeballs of (N, 3) linear colours with trust `seen` (N,); returns colours, trust and the measured colours.

    Baked texels stay where they were seen, are not skin-coloured on the white, and where the dark disc lies where the model's iris does;
    a fit with the wrong gaze would otherwise leave two irises, and then only the colours are taken from the pictures. Both eyes
    are kept as seen, or both are painted.
    """
    colour, seen = colour.copy(), seen.copy()
    eyeballs = [_eyeball(head, chart, index) for index in (0, 1)]
    skin = (chart.part == PARTS.index("skin")) & (seen > 0.3)
    colours = _measure(colour, seen, eyeballs, np.median(colour[skin], 0) if skin.any() else SKIN_LINEAR)
    models = [_model(ball, colours, np.random.default_rng(index)) for index, ball in enumerate(eyeballs)]
    kept = [_kept(colour, seen, *pair, colours) for pair in zip(eyeballs, models, strict=True)]
    # One photographed eye beside a painted one would not look as a pair.
    as_seen = all(shares is not None for shares in kept)
    for ball, model, shares in zip(eyeballs, models, kept, strict=True):
        trust = shares if as_seen and shares is not None else np.zeros(len(ball.texels), np.float32)
        colour[ball.texels] = trust[:, None] * colour[ball.texels] + (1 - trust[:, None]) * model
        seen[ball.texels] = np.where(trust > 0.5, seen[ball.texels], 0)
    return colour, seen, colours


def _kept(colour: np.ndarray, seen: np.ndarray, ball: _Eyeball, model: np.ndarray, colours: EyeColours) -> np.ndarray | None:
    """(M,) share of the pictures' colours that can stay on an eyeball; None where they do not show it well, all in all.

    A patchwork of both would look worse than either.
    """
    trust = np.clip(seen[ball.texels] / 0.3, 0, 1)
    baked = colour[ball.texels]
    is_placed = colours.iris_measured and _iris_offset(baked, model, trust, ball, colours) < 0.35
    kept = trust * _not_skin(baked, ball, colours) * _like_model(baked, model, colours)
    return kept if is_placed and kept.sum() > MOSTLY * trust.sum() else None


def paint_mouth(colour: np.ndarray, seen: np.ndarray, chart: Chart, white_linear: np.ndarray) -> np.ndarray:
    """(N, 3) colours with plain teeth, tongue and mouth where they were not seen, under the light in which the eye is white."""
    colour = colour.copy()
    exposure = white_linear / SCLERA_LINEAR
    for name, plain in MOUTH_LINEAR.items():
        mine = np.flatnonzero(chart.part == PARTS.index(name))
        trust = np.clip(seen[mine] / 0.3, 0, 1)[:, None]
        colour[mine] = trust * colour[mine] + (1 - trust) * np.array(plain, np.float32) * exposure
    return colour


def _eyeball(head: HeadModel, chart: Chart, side: int) -> _Eyeball:
    texels = np.flatnonzero(chart.part == PARTS.index(("eye_left", "eye_right")[side]))
    corners = head.triangles[chart.triangle[texels]]
    arm = np.einsum("nk,nkc->nc", chart.barycentric[texels], head.vertices[corners]) - head.eye_centres()[side]
    length = np.maximum(np.linalg.norm(arm, axis=1), 1e-6)
    size = float(np.median(length)) if len(length) else 1.0
    angle = np.arccos(np.clip(arm[:, 2] / length, -1, 1))
    radius = angle / np.arcsin(min(IRIS_RADIUS_M / size, 0.6))
    across = arm[:, :2] / np.maximum(np.linalg.norm(arm[:, :2], axis=1, keepdims=True), 1e-9)
    return _Eyeball(texels, radius, np.arctan2(arm[:, 1], arm[:, 0]), across * radius[:, None])


def _measure(colour: np.ndarray, seen: np.ndarray, eyeballs: list[_Eyeball], skin: np.ndarray) -> EyeColours:
    """Colours of the white and the iris; the defaults, as bright as the skin suggests, where the lids are closed in all pictures."""
    whites, irises = [], []
    for ball in eyeballs:
        mine = seen[ball.texels] > 0.1
        whites.append(colour[ball.texels[mine & (ball.radius > 1.25) & (ball.radius < 2.4)]])
        irises.append(colour[ball.texels[mine & (ball.radius > 0.5) & (ball.radius < 0.85)]])
    white, iris = np.concatenate(whites), np.concatenate(irises)
    # Seen in the same light, the white of an eye is much less red than skin is, and not darker.
    white = white[(_redness(white) < 0.7 * _redness(skin)) & (white.mean(1) > skin.mean())]
    sclera = _bright_half(white) if len(white) > 200 else skin
    if len(white) <= 200:
        exposure = np.clip(2 * skin.mean() / SCLERA_LINEAR.mean(), 0.5, 1)
        return EyeColours(SCLERA_LINEAR * exposure, IRIS_LINEAR * exposure, False)
    sclera = 0.5 * sclera + 0.5 * sclera.mean() * SCLERA_LINEAR / SCLERA_LINEAR.mean()
    is_dark = iris.mean(1) < 0.75 * sclera.mean()
    if is_dark.sum() < 200:
        return EyeColours(sclera, IRIS_LINEAR * sclera.mean() / SCLERA_LINEAR.mean(), False)
    return EyeColours(sclera, np.median(iris[is_dark], 0), True)


def _redness(colour: np.ndarray) -> np.ndarray:
    return colour[..., 0] / np.maximum(colour[..., 2], 1e-3)


def _bright_half(colours: np.ndarray) -> np.ndarray:
    """Median colour of the brighter half: lashes and the lid's shadow darken the other one."""
    level = colours.mean(1)
    return np.median(colours[level >= np.median(level)], 0)


def _model(ball: _Eyeball, colours: EyeColours, rng: np.random.Generator) -> np.ndarray:
    """(M, 3) a plain eye: pupil, iris with radial fibres and a dark rim, white that reddens to the back."""
    fibres = sum(a * np.sin(n * ball.around + p) for n, a, p in zip((23, 41, 67), (0.10, 0.08, 0.06), rng.uniform(0, 6.28, 3), strict=True))
    rim = 1 - 0.55 * _smooth(ball.radius, 0.78, 1.0)
    glow = 1.15 - 0.3 * _smooth(ball.radius, PUPIL_SHARE, 0.8)
    iris = colours.iris_linear * ((1 + fibres) * rim * glow)[:, None]
    pupil = _smooth(ball.radius, PUPIL_SHARE + 0.04, PUPIL_SHARE - 0.04)[:, None]
    iris = pupil * PUPIL_LINEAR + (1 - pupil) * iris
    back = _smooth(ball.radius, 2.0, 4.0)[:, None]
    white = colours.sclera_linear * (1 - back * np.array([0.15, 0.4, 0.42], np.float32))
    outside = _smooth(ball.radius, 0.94, 1.06)[:, None]
    return (outside * white + (1 - outside) * iris).astype(np.float32)


def _smooth(x: np.ndarray, start: float, end: float) -> np.ndarray:
    """Smoothstep from 0 at start to 1 at end, which may lie below start."""
    t = np.clip((x - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def _iris_offset(baked: np.ndarray, model: np.ndarray, trust: np.ndarray, ball: _Eyeball, colours: EyeColours) -> float:
    """Distance in iris radii between the dark disc of the baked texels and the model's, over what was seen; inf if none was."""
    near = trust * (ball.radius < 2.0)
    white = colours.sclera_linear.mean()
    centres = []
    for image in (baked, model):
        dark = near * np.clip(1 - image.mean(1) / white, 0, 1)
        # Fewer dark texels than a tenth of the iris: closed lids, or no iris where the eye was seen.
        if dark.sum() < 0.1 * (ball.radius < 1).sum():
            return np.inf
        centres.append((dark[:, None] * ball.offset).sum(0) / dark.sum())
    return float(np.linalg.norm(centres[0] - centres[1]))


def _like_model(baked: np.ndarray, model: np.ndarray, colours: EyeColours) -> np.ndarray:
    """(M,) 1 where a texel is about as bright as the plain eye is there, 0 for a lid's edge on the white or white on the iris."""
    level, expected = (np.sqrt(np.maximum(image.mean(1), 0) / colours.sclera_linear.mean()) for image in (baked, model))
    return 1 - _smooth(np.abs(level - expected), 0.2, 0.35)


def trust_in_lids(colour: np.ndarray, seen: np.ndarray, head: HeadModel, chart: Chart) -> np.ndarray:
    """(N,) `seen`, lowered where skin around an eye shows the white of the eye: there the lids were fitted too wide or too narrow."""
    is_skin = chart.part == PARTS.index("skin")
    if not (is_skin & (seen > 0.3)).any():
        return seen
    skin = np.median(colour[is_skin & (seen > 0.3)], 0)
    points = chart.points(head.vertices, head.triangles)
    near = np.zeros(len(seen), bool)
    for index, part in enumerate(("eye_left", "eye_right")):
        ball = head.vertices[head.vertex_parts == PARTS.index(part)]
        if len(ball):
            reach = np.linalg.norm(ball - ball.mean(0), axis=1).max() + 0.004
            near |= is_skin & (np.linalg.norm(points - head.eye_centres()[index], axis=1) < reach)
    pale = _smooth(_redness(colour) / _redness(skin), 0.85, 0.6) * _smooth(colour.mean(1) / skin.mean(), 1.0, 1.4)
    return np.where(near, seen * (1 - pale), seen).astype(np.float32)


def _not_skin(baked: np.ndarray, ball: _Eyeball, colours: EyeColours) -> np.ndarray:
    """(M,) 1 where a texel may be eye; 0 on the white where it is as red as a lid."""
    excess = _redness(baked) / _redness(colours.sclera_linear)
    return np.where(ball.radius > 1.05, 1 - _smooth(excess, 1.3, 1.7), 1.0)
