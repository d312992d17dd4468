"""The command line `recon`: typed settings in, stages run, three-part errors out. Heavy packages load when a command runs."""

from __future__ import annotations

import dataclasses
import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from assets.errors import InputError, ReconError
from render.writing import AovName
from studio.console import Reporter, print_error
from studio.settings import (
    CaptureSettings,
    ControlStageSettings,
    EvaluateSettings,
    FitSettings,
    GenerateSettings,
    RenderSettings,
    RunSettings,
    SweepSettings,
)

DESCRIPTION = "3D-aware avatars of one person: fit, exact control images at any angle, diffusion frames, measured consistency."

StageName = Literal["capture", "fit", "sweep", "render", "control", "train", "generate", "export", "evaluate", "report"]


@dataclasses.dataclass(frozen=True)
class Run:
    """Photos or a video in; avatar, sweep, control images, frames, figures and report.html out. Run again to resume."""

    source: Positional[Path]
    """Folder of photos (with cameras.json: a calibrated rig), a photo, or a video."""
    out: Path
    """Output folder."""
    cameras: Path | None = None
    """Cameras file of a calibrated rig; without it, cameras.json beside the photos is used where there is one."""
    model: str | None = None
    """Diffusion model, hub name or folder; short for --generate.model. Without one, generation is left out."""
    controlnets: tuple[str, ...] = ()
    """ControlNets, hub names or folders, one per control kind; short for --generate.controlnets."""
    settings: Annotated[RunSettings, arg(name="")] = dataclasses.field(default_factory=RunSettings)
    force: tuple[StageName, ...] = ()
    """Stages to run again although they are done; the stages that need them follow."""
    only: tuple[StageName, ...] = ()
    """Run these stages only."""

    def __call__(self, reporter: Reporter) -> None:
        from studio.summary import run_and_summarise

        run_and_summarise(self.source, self.out, self.resolved, reporter, cameras=self.cameras, force=self.force, only=self.only)

    @property
    def resolved(self) -> RunSettings:
        """The settings with the short options in their places."""
        generate = self.settings.generate
        generate = dataclasses.replace(generate, model=self.model or generate.model, controlnets=self.controlnets or generate.controlnets)
        return dataclasses.replace(self.settings, generate=generate)


@dataclasses.dataclass(frozen=True)
class Fit:
    """Photos or a video in; OUT/avatar out."""

    capture: Positional[Path]
    """Folder of photos, a photo, or a video."""
    out: Path
    """Output folder; the avatar is written to OUT/avatar."""
    cameras: Path | None = None
    """Cameras file of a calibrated rig; without it, cameras.json beside the photos is used where there is one."""
    capture_settings: Annotated[CaptureSettings, arg(name="capture")] = dataclasses.field(default_factory=CaptureSettings)
    fit: FitSettings = dataclasses.field(default_factory=FitSettings)
    force: bool = False
    """Fit again although it is done."""

    def __call__(self, reporter: Reporter) -> None:
        from studio.summary import run_and_summarise

        settings = RunSettings(capture=self.capture_settings, fit=self.fit)
        force = ("fit",) if self.force else ()
        run_and_summarise(self.capture, self.out, settings, reporter, cameras=self.cameras, only=("capture", "fit"), force=force)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """An avatar in; a sweep file with its cameras, head poses and expressions out."""

    avatar: Positional[Path]
    """Avatar folder, or an output folder that holds one."""
    out: Path
    """Sweep file to write (JSON)."""
    settings: OmitArgPrefixes[SweepSettings] = dataclasses.field(default_factory=SweepSettings)

    def __call__(self, reporter: Reporter) -> None:
        from studio import single_stages

        single_stages.sweep(self.avatar, self.out, self.settings, reporter)


@dataclasses.dataclass(frozen=True)
class Render:
    """An avatar and a sweep in; render outputs OUT/AOV/FRAME out."""

    avatar: Positional[Path]
    """Avatar folder, or an output folder that holds one."""
    sweep: Path
    """Sweep file."""
    out: Path
    """Folder for the pictures."""
    aovs: tuple[AovName, ...] = RenderSettings.aovs
    """Outputs to save."""

    def __call__(self, reporter: Reporter) -> None:
        from studio import single_stages

        single_stages.render_frames(self.avatar, self.sweep, self.out, self.aovs, reporter)


@dataclasses.dataclass(frozen=True)
class Control:
    """An avatar and a sweep in; control images OUT/KIND/FRAME.png out."""

    avatar: Positional[Path]
    """Avatar folder, or an output folder that holds one."""
    sweep: Path
    """Sweep file."""
    out: Path
    """Folder for the pictures."""
    settings: OmitArgPrefixes[ControlStageSettings] = dataclasses.field(default_factory=ControlStageSettings)

    def __call__(self, reporter: Reporter) -> None:
        from studio import single_stages

        single_stages.control(self.avatar, self.sweep, self.out, self.settings, reporter)


@dataclasses.dataclass(frozen=True)
class Generate:
    """Control images in; diffusion frames OUT/FRAME.png out. Names the model with --model and --controlnets."""

    control: Positional[Path]
    """Folder that the control stage wrote."""
    out: Path
    """Folder for the frames."""
    settings: OmitArgPrefixes[GenerateSettings]

    def __call__(self, reporter: Reporter) -> None:
        from studio import single_stages

        single_stages.generate_to(self.control, self.out, self.settings, reporter)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """An output folder in; evaluation.json and a table of figures out."""

    folder: Positional[Path]
    """Output folder of `recon run`."""
    settings: OmitArgPrefixes[EvaluateSettings] = dataclasses.field(default_factory=EvaluateSettings)

    def __call__(self, reporter: Reporter) -> None:
        from studio import single_stages

        single_stages.evaluate_folder(self.folder, self.settings, reporter)


@dataclasses.dataclass(frozen=True)
class Export:
    """An avatar in; a mesh file out (.glb with 52 morph targets, .obj or .ply)."""

    avatar: Positional[Path]
    """Avatar folder, or an output folder that holds one."""
    out: Path
    """Mesh file to write; its ending chooses the format."""
    frame: Literal["head", "world"] = "head"
    """Head frame (metres, +Y up, +Z front), or the world of a calibrated rig."""

    def __call__(self, reporter: Reporter) -> None:
        from studio import single_stages

        single_stages.export(self.avatar, self.out, self.frame, reporter)


@dataclasses.dataclass(frozen=True)
class Report:
    """An output folder in; report.html anew out, with the settings that its run.json records."""

    folder: Positional[Path]
    """Output folder of `recon run`."""

    def __call__(self, reporter: Reporter) -> None:
        from studio import single_stages

        single_stages.report(self.folder, reporter)


@dataclasses.dataclass(frozen=True)
class Doctor:
    """What is installed, which version, and what is lost without it. Exit code 1 where the main path cannot work."""

    def __call__(self, reporter: Reporter) -> int:
        from studio.summary import print_doctor

        return print_doctor(reporter)


@dataclasses.dataclass(frozen=True)
class Demo:
    """The whole path on the bundled sample, with a tiny diffusion checkpoint trained on the spot."""

    out: Path = Path("out/demo")
    """Output folder."""
    force: tuple[StageName, ...] = ()
    """Stages to run again although they are done."""

    def __call__(self, reporter: Reporter) -> None:
        from studio.demo import demo_settings, sample_folder
        from studio.summary import run_and_summarise

        run_and_summarise(sample_folder(), self.out, demo_settings(), reporter, force=self.force)


COMMANDS: tuple[type, ...] = (Run, Fit, Sweep, Render, Control, Generate, Evaluate, Export, Report, Doctor, Demo)

RESUMING = (Run, Fit, Demo, Render, Control, Generate)
"""Commands that keep complete stages and frames when they are interrupted."""

DISK_ERRORS: Mapping[int, tuple[str, str]] = {
    errno.ENOSPC: ("room on the disk", "free some space"),
    errno.EDQUOT: ("room within the disk quota", "free some space"),
    errno.EROFS: ("a file system that can be written", "give another output path"),
    errno.EACCES: ("a path that may be read or written", "change its permissions, or give another path"),
    errno.EPERM: ("a path that may be read or written", "change its permissions, or give another path"),
    errno.EISDIR: ("a file", "give the path of a file"),
    errno.ENOTDIR: ("a folder", "give the path of a folder"),
    errno.EIO: ("a disk that can be read and written", "check the disk, or copy the files to another one"),
}
"""What the caller can mend outside the program: what was expected, and what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns 0; 2 for what the caller can mend; 130 after Ctrl-C; other exceptions keep their traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        from studio.doctor import own_version

        sys.stdout.write(f"recon {own_version()}\n")
        return 0
    _hush_native_chatter()
    command = parse(arguments)
    try:
        return command(Reporter()) or 0
    except ReconError as error:
        print_error(error)
        return 2
    except OSError as error:
        if error.errno is None or error.errno not in DISK_ERRORS:
            raise
        expected, do = DISK_ERRORS[error.errno]
        print_error(InputError(expected=expected, got=str(error), do=f"{do}, and give the command again: {going_on(command)}"))
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"\ninterrupted; nothing is half-written; given again, {going_on(command)}\n")
        return 130


def going_on(command: object) -> str:
    """What the same command does after an interruption."""
    if isinstance(command, RESUMING):
        return "it goes on after the last complete stage or frame"
    return "it starts from its beginning"


def parse(arguments: Sequence[str]) -> Callable[[Reporter], int | None]:
    """The command with its settings; wrong arguments exit with code 2 and a message of tyro's."""
    options = {command.__name__.lower(): command for command in COMMANDS}
    return tyro.extras.subcommand_cli_from_dict(options, args=list(arguments), prog="recon", description=DESCRIPTION)


def _hush_native_chatter() -> None:
    """MediaPipe, TensorFlow Lite and the hub client write logs and bars of their own over ours; the user's own choice stands."""
    for name, value in {
        "GLOG_minloglevel": "2",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
    }.items():
        os.environ.setdefault(name, value)
