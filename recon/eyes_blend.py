"""One eye from all its sightings: turned to look ahead, highlights left out, blended robustly."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from recon.eyes_chart import angles_of, grid_directions, sample_chart, turn_to
from recon.eyes_pictures import EyeSighting

MAX_SIGHTINGS = 12
"""More than these hardly add anything; the best are taken."""
GOOD_CONTRAST = 0.65
"""An iris whose rim has less contrast than this share of the best ones' was found on something else."""
RADIUS_TOLERANCE = 0.09
"""Irises of one person that differ more than this from their median were not found well."""
HIGHLIGHT = 1.7
"""Brighter than this many times the bright parts of an iris is a reflection on its cornea."""
GLEAM = 1.3
"""The same for the white of the eye."""
HALO_PX = 3
"""Around a highlight so many pixels of the chart are left out with it."""
BALANCE = (0.3, 3.0)
"""A sighting's white is brought to the others' by a factor between these, in each channel."""
MIN_WHITE_PX = 150
SPREAD = 0.12
"""Logarithm of brightness by which sightings of one place may differ before they count less."""


@dataclasses.dataclass(frozen=True, eq=False)
class EyePicture:
    """One eye looking straight ahead, on its chart."""

    colour_linear: np.ndarray
    """(S, S, 3) float32 in the median picture's exposure; 0 where not seen."""
    seen: np.ndarray
    """(S, S) float32 in [0, 1]: how well."""
    num_sightings: int


def good_sightings(sightings: Sequence[EyeSighting]) -> tuple[list[EyeSighting], float]:
    """Sightings whose iris fits the others' by contrast and size, and the person's iris radius in radians (0 where none is left)."""
    if not sightings:
        return [], 0.0
    contrasts = np.array([s.iris.contrast for s in sightings])
    good = [s for s in sightings if s.iris.contrast > GOOD_CONTRAST * np.quantile(contrasts, 0.75)]
    radius = _median_radius(good)
    good = [s for s in good if abs(s.iris.radius_rad / radius - 1) < RADIUS_TOLERANCE]
    # One picture alone, or half of them too large and half too small: nothing says which is right, and all are kept.
    return (good, _median_radius(good)) if good else (list(sightings), radius)


def _median_radius(sightings: Sequence[EyeSighting]) -> float:
    """Weighted median: a rim seen sharply, from the front and all around says more."""
    radii = np.array([s.iris.radius_rad for s in sightings])
    weights = np.array([s.iris.contrast * s.iris.seen * s.px_per_step for s in sightings])
    order = radii.argsort()
    total = weights[order].cumsum()
    return float(radii[order][np.searchsorted(total, total[-1] / 2)])


def balanced(sightings: Sequence[EyeSighting], gains: Mapping[str, np.ndarray], radius_rad: float) -> list[EyeSighting]:
    """The sightings of both eyes divided by their pictures' gains (3,), and then such that their whites are the median white.

    A picture's one gain does not hold in the sockets, where coloured lamps and the brow's shadow differ from picture to picture, and the
    white of an eye is the same in all. Sightings that show little of it keep their colours.
    """
    evened = [
        dataclasses.replace(s, colour_linear=s.colour_linear / np.maximum(np.asarray(gains.get(s.view, np.ones(3)), np.float32), 1e-3))
        for s in sightings
    ]
    whites = [_white_of(sighting, radius_rad) for sighting in evened]
    known = [white for white in whites if white is not None]
    if len(known) < 2:
        return evened
    target = np.median(known, axis=0)
    return [
        s if white is None else dataclasses.replace(s, colour_linear=s.colour_linear * np.clip(target / white, *BALANCE).astype(np.float32))
        for s, white in zip(evened, whites, strict=True)
    ]


def _white_of(sighting: EyeSighting, radius_rad: float) -> np.ndarray | None:
    """(3,) median of the brighter half of the white beside an iris; None where hardly any is seen."""
    colour, trust = ahead(sighting, radius_rad)
    radius = np.arccos(np.clip(grid_directions()[..., 2], -1, 1)) / radius_rad
    white = colour[(radius > 1.15) & (radius < 2.0) & (trust > 0.3)]
    if len(white) < MIN_WHITE_PX:
        return None
    light = white.mean(1)
    return np.maximum(np.median(white[light >= np.median(light)], 0), 1e-3)


def blend_sightings(sightings: Sequence[EyeSighting], radius_rad: float) -> EyePicture:
    """Blend balanced sightings of one eye.

    Brightness's weighted median over the sightings says what a place looks like; what deviates, and above all what is brighter, counts
    less: the reflection of a lamp moves over the eye from picture to picture. The sharpest of those left count most.
    """
    best = sorted(sightings, key=_worth, reverse=True)[:MAX_SIGHTINGS]
    size = grid_directions().shape[0]
    colours, weights = np.zeros((len(best), size, size, 3), np.float32), np.zeros((len(best), size, size), np.float32)
    for index, sighting in enumerate(best):
        colours[index], trust = ahead(sighting, radius_rad)
        weights[index] = trust * ~highlights(colours[index], trust, radius_rad)
    light = np.log(colours.mean(-1) + 2e-3)
    step = light - _weighted_median(light, weights)
    agreed = weights / (1 + (step / np.where(step > 0, SPREAD, 2 * SPREAD)) ** 4)
    sharpness = np.array([_worth(s) for s in best], np.float32)[:, None, None]
    share = (agreed * sharpness) ** 2
    blended = (share[..., None] * colours).sum(0) / np.maximum(share.sum(0), 1e-9)[..., None]
    return EyePicture(blended, np.minimum(agreed.max(0), 1), len(best))


def _worth(sighting: EyeSighting) -> float:
    """How much a sighting can show: its resolution, up to one chart pixel a picture pixel, and how much of the iris is seen."""
    return float(min(sighting.px_per_step, 1.0) * sighting.iris.seen * max(sighting.iris.contrast, 1e-3))


def ahead(sighting: EyeSighting, radius_rad: float) -> tuple[np.ndarray, np.ndarray]:
    """(S, S, 3) colours and (S, S) trust of a sighting turned so that the iris it shows looks along +Z and has a radius of radius_rad."""
    turned = grid_directions().reshape(-1, 3) @ turn_to(sighting.iris.angles_rad).T.astype(np.float32)
    centre = sighting.iris.angles_rad.astype(np.float32)
    angles = centre + (angles_of(turned) - centre) * np.float32(sighting.iris.radius_rad / radius_rad)
    size = grid_directions().shape[0]
    values = sample_chart(np.dstack([sighting.colour_linear, sighting.trust]), angles.reshape(size, size, 2))
    return values[..., :3], values[..., 3]


def highlights(colour: np.ndarray, trust: np.ndarray, radius_rad: float) -> np.ndarray:
    """(S, S) bool: reflections of lamps and windows, on an eye looking ahead."""
    radius = np.arccos(np.clip(grid_directions()[..., 2], -1, 1)) / radius_rad
    light, found = colour.mean(-1), np.zeros(trust.shape, bool)
    for part, times in ((radius < 0.97, HIGHLIGHT), ((radius > 1.1) & (radius < 2.5), GLEAM)):
        mine = part & (trust > 0.3)
        if mine.sum() > 50:
            found |= part & (light > times * np.quantile(light[mine], 0.6))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * HALO_PX + 1, 2 * HALO_PX + 1))
    return cv2.dilate(found.astype(np.uint8), kernel) > 0


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(...) weighted median over the first axis of values and weights (K, ...)."""
    order = values.argsort(0)
    share = np.take_along_axis(weights, order, 0).cumsum(0)
    middle = (share >= 0.5 * share[-1]).argmax(0)
    return np.take_along_axis(np.take_along_axis(values, order, 0), middle[None], 0)[0]
