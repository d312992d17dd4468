"""`recon run`, `recon fit` and `recon demo`: the pipeline."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from assets.licences import LicencedPart
from studio.commands.base import Command
from studio.commands.options import CameraOptions, FitOptions
from studio.console import Reporter
from studio.licences import run_parts
from studio.settings import CaptureSettings, FitSettings, RunSettings

StageName = Literal["capture", "fit", "sweep", "render", "control", "train", "generate", "export", "evaluate", "report"]


@dataclasses.dataclass(frozen=True)
class Run(Command):
    """Photos or a video in; avatar, sweep, control images, frames, figures and report.html out. Run again to resume."""

    sources: Positional[tuple[Path, ...]]
    """Folders of photos (with cameras.json: a calibrated rig), photos and videos of one person, all for one solve."""
    out: Path
    """Output folder."""
    camera_options: OmitArgPrefixes[CameraOptions] = dataclasses.field(default_factory=CameraOptions)
    fit_options: OmitArgPrefixes[FitOptions] = dataclasses.field(default_factory=FitOptions)
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
            self.sources,
            self.out,
            self.resolved,
            reporter,
            cameras=self.camera_options.cameras,
            resume=self.fit_options.resume,
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
            capture=self.camera_options.applied(self.settings.capture),
            generate=generate,
            fit=self.fit_options.applied(self.settings.fit),
        )


@dataclasses.dataclass(frozen=True)
class Fit(Command):
    """Photos or a video in; OUT/avatar out."""

    sources: Positional[tuple[Path, ...]]
    """Folders of photos (with cameras.json: a calibrated rig), photos and videos of one person, all for one solve."""
    out: Path
    """Output folder; the avatar is written to OUT/avatar."""
    camera_options: OmitArgPrefixes[CameraOptions] = dataclasses.field(default_factory=CameraOptions)
    fit_options: OmitArgPrefixes[FitOptions] = dataclasses.field(default_factory=FitOptions)
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
            self.sources,
            self.out,
            self.resolved,
            reporter,
            cameras=self.camera_options.cameras,
            resume=self.fit_options.resume,
            only=("capture", "fit"),
            force=force,
            commercial=self.commercial,
        )

    @property
    def resolved(self) -> RunSettings:
        """The settings of the two stages, with the short options in their places."""
        capture = self.camera_options.applied(self.capture_settings)
        return RunSettings(capture=capture, fit=self.fit_options.applied(self.fit))


@dataclasses.dataclass(frozen=True)
class Demo(Command):
    """The whole path on the bundled sample, with a tiny diffusion checkpoint trained on the spot."""

    out: Path = Path("out/demo")
    """Output folder."""
    fit_options: OmitArgPrefixes[FitOptions] = dataclasses.field(default_factory=FitOptions)
    force: tuple[StageName, ...] = ()
    """Stages to run again although they are done."""

    def parts(self) -> tuple[LicencedPart, ...]:
        return run_parts(self.resolved)

    def __call__(self, reporter: Reporter) -> None:
        from studio.demo import sample_folder, time_line
        from studio.summary import run_and_summarise

        reporter.say(time_line())
        run_and_summarise(
            (sample_folder(),),
            self.out,
            self.resolved,
            reporter,
            resume=self.fit_options.resume,
            force=self.force,
            commercial=self.commercial,
        )

    @property
    def resolved(self) -> RunSettings:
        """The demo's settings with the fit's options in their places."""
        from studio.demo import demo_settings

        settings = demo_settings()
        return dataclasses.replace(settings, fit=self.fit_options.applied(settings.fit))
