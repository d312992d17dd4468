"""The stages one by one: `recon sweep | render | control | generate | evaluate | export | report`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from tyro.conf import OmitArgPrefixes, Positional

from assets.licences import DETECTOR, LicencedPart
from render.writing import AovName
from studio.commands.base import Command
from studio.console import Reporter
from studio.licences import avatar_part, generate_parts, recorded_parts
from studio.settings import ControlStageSettings, EvaluateSettings, GenerateSettings, RenderSettings, SweepSettings


@dataclasses.dataclass(frozen=True)
class Sweep(Command):
    """An avatar in; a sweep file with its cameras, head poses and expressions out."""

    avatar: Positional[Path]
    """Avatar folder, or an output folder that holds one."""
    out: Path
    """Sweep file to write (JSON)."""
    settings: OmitArgPrefixes[SweepSettings] = dataclasses.field(default_factory=SweepSettings)

    def parts(self) -> tuple[LicencedPart, ...]:
        return (avatar_part(self.avatar),)

    def __call__(self, reporter: Reporter) -> None:
        from studio import single_stages

        single_stages.sweep(self.avatar, self.out, self.settings, reporter)


@dataclasses.dataclass(frozen=True)
class Render(Command):
    """An avatar and a sweep in; render outputs OUT/AOV/FRAME out."""

    avatar: Positional[Path]
    """Avatar folder, or an output folder that holds one."""
    sweep: Path
    """Sweep file."""
    out: Path
    """Folder for the pictures."""
    aovs: tuple[AovName, ...] = RenderSettings.aovs
    """Outputs to save."""

    def parts(self) -> tuple[LicencedPart, ...]:
        return (avatar_part(self.avatar),)

    def __call__(self, reporter: Reporter) -> None:
        from studio import single_stages

        single_stages.render_frames(self.avatar, self.sweep, self.out, self.aovs, reporter)


@dataclasses.dataclass(frozen=True)
class Control(Command):
    """An avatar and a sweep in; control images OUT/KIND/FRAME.png out."""

    avatar: Positional[Path]
    """Avatar folder, or an output folder that holds one."""
    sweep: Path
    """Sweep file."""
    out: Path
    """Folder for the pictures."""
    settings: OmitArgPrefixes[ControlStageSettings] = dataclasses.field(default_factory=ControlStageSettings)

    def parts(self) -> tuple[LicencedPart, ...]:
        return (avatar_part(self.avatar),)

    def __call__(self, reporter: Reporter) -> None:
        from studio import single_stages

        single_stages.control(self.avatar, self.sweep, self.out, self.settings, reporter)


@dataclasses.dataclass(frozen=True)
class Generate(Command):
    """Control images in; diffusion frames OUT/FRAME.png out. Names the model with --model and --controlnets."""

    control: Positional[Path]
    """Folder that the control stage wrote."""
    out: Path
    """Folder for the frames."""
    settings: OmitArgPrefixes[GenerateSettings]

    def parts(self) -> tuple[LicencedPart, ...]:
        from studio.single_stages import control_folder

        return (*recorded_parts(control_folder(self.control) / "control.json"), *generate_parts(self.settings))

    def __call__(self, reporter: Reporter) -> None:
        from studio import single_stages

        single_stages.generate_to(self.control, self.out, self.settings, reporter)


@dataclasses.dataclass(frozen=True)
class Evaluate(Command):
    """An output folder in; evaluation.json and a table of figures out."""

    folder: Positional[Path]
    """Output folder of `recon run`."""
    settings: OmitArgPrefixes[EvaluateSettings] = dataclasses.field(default_factory=EvaluateSettings)

    def parts(self) -> tuple[LicencedPart, ...]:
        return (avatar_part(self.folder), DETECTOR, *recorded_parts(self.folder / "frames" / "frames.json"))

    def __call__(self, reporter: Reporter) -> None:
        from studio import single_stages

        single_stages.evaluate_folder(self.folder, self.settings, reporter)


@dataclasses.dataclass(frozen=True)
class Export(Command):
    """An avatar in; a file for other tools out: .glb with 52 morph targets, .obj, .ply, a folder of numbered .obj, or parameters."""

    avatar: Positional[Path]
    """Avatar folder, or an output folder that holds one."""
    out: Path
    """File to write: .glb, .obj, .ply, or .npz and .json for the parameters of the heads ict and flame. A folder for a sequence."""
    sweep: Path | None = None
    """Sweep file (`recon sweep` writes one): each of its frames as head.0001.obj, head.0002.obj, ... into the folder --out."""
    shapes: bool = False
    """The neutral and the 52 shapes as 00-neutral.obj, 01-eyeBlinkLeft.obj, ... into the folder --out."""
    frame: Literal["head", "world"] = "head"
    """Head frame (metres, +Y up, +Z front), or the world of a calibrated rig."""
    with_uncertainty: bool = False
    """PLY only: colour each vertex by how far the surface may be off there."""

    def parts(self) -> tuple[LicencedPart, ...]:
        return (avatar_part(self.avatar),)

    def __call__(self, reporter: Reporter) -> None:
        from studio import single_stages

        if self.sweep is not None or self.shapes:
            single_stages.export_sequence(self.avatar, self.out, self.frame, reporter, sweep_path=self.sweep, shapes=self.shapes)
        else:
            single_stages.export(self.avatar, self.out, self.frame, reporter, with_uncertainty=self.with_uncertainty)


@dataclasses.dataclass(frozen=True)
class Report(Command):
    """An output folder in; report.html anew out, with the settings that its run.json records."""

    folder: Positional[Path]
    """Output folder of `recon run`."""

    def parts(self) -> tuple[LicencedPart, ...]:
        return (avatar_part(self.folder), *recorded_parts(self.folder / "frames" / "frames.json"))

    def __call__(self, reporter: Reporter) -> None:
        from studio import single_stages

        single_stages.report(self.folder, reporter)
