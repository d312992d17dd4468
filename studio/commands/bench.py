"""`recon bench smile`: measurements of what a capture is worth, on the user's own pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from assets.heads import head_part
from assets.licences import DETECTOR, LicencedPart
from recon.capture import CaptureSettings
from studio.commands.base import Command
from studio.commands.options import CameraOptions, FitOptions
from studio.console import Reporter
from studio.settings import FitSettings


@dataclasses.dataclass(frozen=True)
class Bench(Command):
    """Photos in; figures and pictures out that say what they are worth. smile: one expression asked of avatars from one photo, from the
    neutral photos and from all of them."""

    what: Positional[Literal["smile"]]
    """smile: the one-image smile test."""
    sources: Positional[tuple[Path, ...]]
    """Folders of photos (with cameras.json: a calibrated rig), photos and videos of one person, with at least one expression."""
    out: Path
    """Folder for smile.png and smile.json."""
    expression: str = ""
    """Which of the expressions that the fit finds and names; without it, the one with the most smile."""
    camera_options: OmitArgPrefixes[CameraOptions] = dataclasses.field(default_factory=CameraOptions)
    fit_options: OmitArgPrefixes[FitOptions] = dataclasses.field(default_factory=FitOptions)
    capture_settings: Annotated[CaptureSettings, arg(name="capture")] = dataclasses.field(default_factory=CaptureSettings)
    fit: FitSettings = dataclasses.field(default_factory=FitSettings)

    def parts(self) -> tuple[LicencedPart, ...]:
        fit = self.fit_options.applied(self.fit)
        return (head_part(fit.head, licence=fit.head_licence), DETECTOR)

    def __call__(self, reporter: Reporter) -> None:
        from studio.smile_bench import run_smile_bench

        run_smile_bench(
            self.sources,
            self.out,
            reporter,
            expression=self.expression,
            cameras=self.camera_options.cameras,
            capture_settings=self.camera_options.applied(self.capture_settings),
            fit_settings=self.fit_options.applied(self.fit),
        )
