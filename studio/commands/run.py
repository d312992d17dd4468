"""`recon run`, `recon fit` and `recon demo`: the pipeline."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from assets.licences import LicencedPart
from studio.commands.base import Command
from studio.console import Reporter
from studio.licences import run_parts
from studio.settings import CaptureSettings, FitSettings, RunSettings

CameraUnit = Literal["m", "cm", "mm", "unknown"]
CameraAxes = Literal["opencv", "opengl"]
StageName = Literal["capture", "fit", "sweep", "render", "control", "train", "generate", "export", "evaluate", "report"]


@dataclasses.dataclass(frozen=True)
class Run(Command):
    """Photos or a video in; avatar, sweep, control images, frames, figures and report.html out. Run again to resume."""

    source: Positional[Path]
    """Folder of photos (with cameras.json: a calibrated rig), a photo, or a video."""
    out: Path
    """Output folder."""
    cameras: Path | None = None
    """Cameras of a calibrated rig, a file or folder of any format in docs/cameras.md; without it, cameras.json beside the photos."""
    cameras_unit: CameraUnit | None = None
    """Unit of the camera positions, where their file states none or a wrong one; short for --capture.cameras-unit."""
    cameras_invert: bool = False
    """Read the cameras' matrices in the other direction; short for --capture.cameras-invert."""
    cameras_axes: CameraAxes | None = None
    """Camera axes of the cameras' matrices, against what their format says; short for --capture.cameras-axes."""
    head: str | None = None
    """Head model: anny, ict or flame:PATH, each optionally with +1 or +2; short for --fit.head. `recon assets list` shows them."""
    head_licence: str | None = None
    """Licence of FLAME's file, cc-by-4.0 for the open one of 2023; short for --fit.head-licence."""
    model: str | None = None
    """Diffusion model, hub name or folder; short for --generate.model. Without one, generation is left out."""
    controlnets: tuple[str, ...] = ()
    """ControlNets, hub names or folders, one per control kind; short for --generate.controlnets."""
    model_licence: str | None = None
    """Licence of a model that recon has no entry for, in your words; short for --generate.model-licence."""
    settings: Annotated[RunSettings, arg(name="")] = dataclasses.field(default_factory=RunSettings)
    force: tuple[StageName, ...] = ()
    """Stages to run again although they are done; the stages that need them follow."""
    only: tuple[StageName, ...] = ()
    """Run these stages only."""

    def parts(self) -> tuple[LicencedPart, ...]:
        return run_parts(self.resolved, out=self.out, only=self.only)

    def __call__(self, reporter: Reporter) -> None:
        from studio.summary import run_and_summarise

        run_and_summarise(
            self.source,
            self.out,
            self.resolved,
            reporter,
            cameras=self.cameras,
            force=self.force,
            only=self.only,
            commercial=self.commercial,
        )

    @property
    def resolved(self) -> RunSettings:
        """The settings with the short options in their places."""
        generate = self.settings.generate
        generate = dataclasses.replace(
            generate,
            model=self.model or generate.model,
            controlnets=self.controlnets or generate.controlnets,
            model_licence=self.model_licence or generate.model_licence,
        )
        return dataclasses.replace(
            self.settings,
            capture=with_cameras(self.settings.capture, self.cameras_unit, self.cameras_invert, self.cameras_axes),
            generate=generate,
            fit=with_head(self.settings.fit, self.head, self.head_licence),
        )


def with_cameras(capture: CaptureSettings, unit: CameraUnit | None, invert: bool, axes: CameraAxes | None) -> CaptureSettings:
    """Capture settings with the short options --cameras-unit, --cameras-invert and --cameras-axes in their places."""
    return dataclasses.replace(
        capture,
        cameras_unit=unit or capture.cameras_unit,
        cameras_invert=invert or capture.cameras_invert,
        cameras_axes=axes or capture.cameras_axes,
    )


def with_head(fit: FitSettings, head: str | None, licence: str | None) -> FitSettings:
    """Fit settings with the short options --head and --head-licence in their places."""
    return dataclasses.replace(fit, head=head or fit.head, head_licence=licence or fit.head_licence)


@dataclasses.dataclass(frozen=True)
class Fit(Command):
    """Photos or a video in; OUT/avatar out."""

    capture: Positional[Path]
    """Folder of photos, a photo, or a video."""
    out: Path
    """Output folder; the avatar is written to OUT/avatar."""
    cameras: Path | None = None
    """Cameras of a calibrated rig, a file or folder of any format in docs/cameras.md; without it, cameras.json beside the photos."""
    cameras_unit: CameraUnit | None = None
    """Unit of the camera positions, where their file states none or a wrong one; short for --capture.cameras-unit."""
    cameras_invert: bool = False
    """Read the cameras' matrices in the other direction; short for --capture.cameras-invert."""
    cameras_axes: CameraAxes | None = None
    """Camera axes of the cameras' matrices, against what their format says; short for --capture.cameras-axes."""
    head: str | None = None
    """Head model: anny, ict or flame:PATH, each optionally with +1 or +2; short for --fit.head. `recon assets list` shows them."""
    head_licence: str | None = None
    """Licence of FLAME's file, cc-by-4.0 for the open one of 2023; short for --fit.head-licence."""
    capture_settings: Annotated[CaptureSettings, arg(name="capture")] = dataclasses.field(default_factory=CaptureSettings)
    fit: FitSettings = dataclasses.field(default_factory=FitSettings)
    force: bool = False
    """Fit again although it is done."""

    def parts(self) -> tuple[LicencedPart, ...]:
        return run_parts(self.resolved, only=("capture", "fit"))

    def __call__(self, reporter: Reporter) -> None:
        from studio.summary import run_and_summarise

        force = ("fit",) if self.force else ()
        run_and_summarise(
            self.capture,
            self.out,
            self.resolved,
            reporter,
            cameras=self.cameras,
            only=("capture", "fit"),
            force=force,
            commercial=self.commercial,
        )

    @property
    def resolved(self) -> RunSettings:
        """The settings of the two stages, with the short options in their places."""
        capture = with_cameras(self.capture_settings, self.cameras_unit, self.cameras_invert, self.cameras_axes)
        return RunSettings(capture=capture, fit=with_head(self.fit, self.head, self.head_licence))


@dataclasses.dataclass(frozen=True)
class Demo(Command):
    """The whole path on the bundled sample, with a tiny diffusion checkpoint trained on the spot."""

    out: Path = Path("out/demo")
    """Output folder."""
    head: str = FitSettings.head
    """Head model: anny, ict or flame:PATH, each optionally with +1 or +2. `recon assets list` shows them."""
    head_licence: str | None = None
    """Licence of FLAME's file, cc-by-4.0 for the open one of 2023."""
    force: tuple[StageName, ...] = ()
    """Stages to run again although they are done."""

    def parts(self) -> tuple[LicencedPart, ...]:
        return run_parts(self.resolved)

    def __call__(self, reporter: Reporter) -> None:
        from studio.demo import sample_folder
        from studio.summary import run_and_summarise

        run_and_summarise(sample_folder(), self.out, self.resolved, reporter, force=self.force, commercial=self.commercial)

    @property
    def resolved(self) -> RunSettings:
        """The demo's settings with the head in its place."""
        from studio.demo import demo_settings

        settings = demo_settings()
        return dataclasses.replace(settings, fit=with_head(settings.fit, self.head, self.head_licence))
