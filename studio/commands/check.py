"""`recon check`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from assets.heads import head_part
from assets.licences import DETECTOR, LicencedPart
from recon.capture import CaptureSettings
from studio.commands.base import Command
from studio.commands.options import CameraOptions
from studio.console import Reporter
from studio.settings import FitSettings


@dataclasses.dataclass(frozen=True)
class Check(Command):
    """Before a fit: what each picture is worth, what the set covers, and which photo to take next. Seconds, nothing dense."""

    sources: Positional[tuple[Path, ...]]
    """Folders of photos, photos and videos of one person."""
    camera_options: OmitArgPrefixes[CameraOptions] = dataclasses.field(default_factory=CameraOptions)
    out: Path | None = None
    """Folder for check.json and check.png; without it, only the table is printed."""
    head: str = FitSettings.head
    """Head model that poses are found with: anny, ict or flame:PATH, each optionally with +1 or +2."""
    head_licence: str | None = None
    """Licence of FLAME's file, cc-by-4.0 for the open one of 2023."""
    detector: Literal["bundled", "tasks"] = "bundled"
    """The face mesh of the mediapipe wheel, or that of the installed face_landmarker.task."""
    capture: Annotated[CaptureSettings, arg(name="capture")] = dataclasses.field(default_factory=CaptureSettings)
    json: bool = False
    """Print check.json instead of the table."""

    def parts(self) -> tuple[LicencedPart, ...]:
        return (head_part(self.head, licence=self.head_licence), DETECTOR)

    def __call__(self, reporter: Reporter) -> None:
        from studio.check import run_check

        run_check(
            self.sources,
            self.out,
            reporter,
            cameras=self.camera_options.cameras,
            settings=self.camera_options.applied(self.capture),
            head=self.head,
            head_licence=self.head_licence,
            detector=self.detector,
            as_json=self.json,
        )
