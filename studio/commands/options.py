"""Options that several commands share: one record each, so that they have one name, one default and one help text."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import UseAppendAction, arg

from recon.capture import CaptureSettings
from recon.fitting import FitSettings
from recon.named_points import named_points

CameraUnit = Literal["m", "cm", "mm", "unknown"]
CameraAxes = Literal["opencv", "opengl"]

DISTANCE_HELP = (
    "A distance measured on the person in a straight line, as two points and millimetres (eye_outer_left eye_outer_right 88.5), which "
    f"makes loose pictures metric; may be given several times. Points: {', '.join(named_points())}; short for --fit.distances."
)


@dataclasses.dataclass(frozen=True)
class CameraOptions:
    """Cameras of a calibrated rig, and how to read them."""

    cameras: Path | None = None
    """Cameras of a calibrated rig, a file or folder of any format in docs/cameras.md; without it, cameras.json beside the photos.
    Pictures that it does not name go into the same solve as loose ones."""
    cameras_unit: CameraUnit | None = None
    """Unit of the camera positions, where their file states none or a wrong one; short for --capture.cameras-unit."""
    cameras_invert: bool = False
    """Read the cameras' matrices in the other direction; short for --capture.cameras-invert."""
    cameras_axes: CameraAxes | None = None
    """Camera axes of the cameras' matrices, against what their format says; short for --capture.cameras-axes."""

    def applied(self, capture: CaptureSettings) -> CaptureSettings:
        """Capture settings with these options in their places."""
        return dataclasses.replace(
            capture,
            cameras_unit=self.cameras_unit or capture.cameras_unit,
            cameras_invert=self.cameras_invert or capture.cameras_invert,
            cameras_axes=self.cameras_axes or capture.cameras_axes,
        )


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """What is fitted, how thoroughly, and how large the person is."""

    head: str | None = None
    """Head model: anny, ict or flame:PATH, each optionally with +1 or +2; short for --fit.head. `recon assets list` shows them."""
    head_licence: str | None = None
    """Licence of FLAME's file, cc-by-4.0 for the open one of 2023; short for --fit.head-licence."""
    preset: Literal["full", "fast"] | None = None
    """full: the best that the pictures give; fast: a draft within twice its error; short for --fit.preset."""
    ipd_mm: float | None = None
    """The person's distance between the pupils, 40 to 90 mm, which makes loose pictures metric; short for --fit.interpupillary-mm."""
    distance: Annotated[UseAppendAction[tuple[tuple[str, str, float], ...]], arg(metavar="A B MM", help=DISTANCE_HELP)] = ()
    resume: bool = True
    """Go on after the last finished stage of a fit that was interrupted, where pictures and settings are the same; --no-resume: anew."""

    def applied(self, fit: FitSettings) -> FitSettings:
        """Fit settings with these options in their places."""
        return dataclasses.replace(
            fit,
            head=self.head or fit.head,
            head_licence=self.head_licence or fit.head_licence,
            preset=self.preset or fit.preset,
            interpupillary_mm=fit.interpupillary_mm if self.ipd_mm is None else self.ipd_mm,
            distances=self.distance or fit.distances,
        )
