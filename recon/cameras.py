"""What is known of each picture's camera before the fit: focal length and its group, and which pictures show one instant."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from recon.capture import View

# Without EXIF: a usual portrait lens (about 62 degrees over the diagonal of a 3:4 picture), known to about a fifth.
UNKNOWN_FOCAL_FACTOR, UNKNOWN_FOCAL_SD = 1.2, 0.2
# EXIF gives the lens's nominal value: a phone's 26 mm (35 mm equivalent) is rounded by up to 2 percent, whose deviation is 1.1.
# What focusing and cropping add is for the robust tail (`believed_focal_sd`).
EXIF_FOCAL_SD = 0.011
# What is off by this share (log) is half believed to be a wrong entry: rounding and focusing stay below, crops, converters and other
# lenses lie beyond.
WRONG_ENTRY = 0.08
# A guess is held so many of its own standard deviations wide.
HALF_BELIEVED_SDS = 2.5
# EXIF values that agree within this belong to one camera.
SAME_FOCAL = 0.02

_INSTANT_AND_CAMERA = re.compile(r"^(?P<instant>.*?)[ _-]*cam(?:era)?[ _-]*\d+", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, eq=False)
class FocalPrior:
    """Focal lengths before the fit."""

    focal_px: np.ndarray
    """(N, 2) float64 horizontal and vertical, view pixels."""
    group: np.ndarray
    """(N,) int: views of one group share one unknown factor."""
    sd: np.ndarray
    """(F,) standard deviation of the log of each group's factor; 1e-6, which holds it, where the camera is calibrated."""
    is_known: np.ndarray
    """(N,) bool: from EXIF or a calibration, not guessed."""


def focal_prior(views: Sequence[View]) -> FocalPrior:
    """Calibrated cameras are kept; else EXIF, else 1.2 x the long side. One camera is assumed for equal sizes and equal EXIF."""
    focals, keys, known = [], [], []
    for view in views:
        long_side = max(view.width, view.height)
        if view.camera is not None:
            focals.append((view.camera.K[0, 0], view.camera.K[1, 1]))
            keys.append(("calibrated", 0.0, 0))
        else:
            focal = view.focal_px or UNKNOWN_FOCAL_FACTOR * long_side
            focals.append((focal, focal))
            # Landscape and portrait pictures of one camera have the same sides in another order.
            rounded = round(np.log(focal / long_side) / SAME_FOCAL)
            keys.append(("exif" if view.focal_px else "guess", float(rounded), long_side * 100_000 + min(view.width, view.height)))
        known.append(view.camera is not None or view.focal_px is not None)
    order = sorted(set(keys))
    sds = {"calibrated": 1e-6, "exif": EXIF_FOCAL_SD, "guess": UNKNOWN_FOCAL_SD}
    return FocalPrior(
        focal_px=np.array(focals, np.float64),
        group=np.array([order.index(key) for key in keys]),
        sd=np.array([sds[key[0]] for key in order]),
        is_known=np.array(known),
    )


def believed_focal_sd(sd: np.ndarray, log_factor: np.ndarray) -> np.ndarray:
    """(F,) standard deviations that the prior of the focal lengths has where the fit has brought them, log factors (F,).

    Geman and McClure's weight: near its start a focal length is held as firmly as its source deserves, and what the pictures have pulled
    far away is let go, so that wrong EXIF (a crop that was not recorded, an adapter) cannot spoil the fit.
    """
    return sd * (1.0 + np.square(log_factor / np.maximum(HALF_BELIEVED_SDS * sd, WRONG_ENTRY)))


def principal_point_px(view: View) -> np.ndarray:
    """(2,) of the calibrated camera, else the picture's middle."""
    return np.array([view.width / 2, view.height / 2]) if view.camera is None else view.camera.K[:2, 2].copy()


def group_instants(views: Sequence[View]) -> np.ndarray:
    """(N,) int: views of one instant share head pose and expression.

    Loose pictures are taken one after the other: each its own, beside a rig too. In a calibrated rig the file names may tell
    ("smile_cam04": all that stands before the camera's number); where they do not, all its views are one instant if no two have the
    same extrinsics, and each view is its own otherwise.
    """
    in_rig = np.array([view.camera is not None for view in views], bool)
    instants = np.zeros(len(views), int)
    instants[in_rig] = _rig_instants([view for view in views if view.camera is not None])
    instants[~in_rig] = np.arange((~in_rig).sum()) + (instants[in_rig].max() + 1 if in_rig.any() else 0)
    return instants


def _rig_instants(views: Sequence[View]) -> np.ndarray:
    """(N,) int instants of calibrated views, from 0."""
    found = [_INSTANT_AND_CAMERA.match(view.name) for view in views]
    if all(found):
        names = [match["instant"] for match in found if match]
        return np.array([sorted(set(names)).index(name) for name in names])
    # Whole matrices, not centres: cameras that look at the origin have one centre where their extrinsics are given inverted.
    extrinsics = np.round([view.camera.T_cam_world.ravel() for view in views if view.camera is not None], 4)
    return np.zeros(len(views), int) if len(np.unique(extrinsics, axis=0)) == len(views) else np.arange(len(views))
