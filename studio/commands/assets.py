"""`recon assets list | show | install | calibrate`: head models, the detector's files, calibrations."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg, subcommand

from assets.heads import head_part
from assets.licences import DETECTOR, LicencedPart
from studio.commands.base import Command
from studio.console import Reporter


@dataclasses.dataclass(frozen=True)
class AssetsList(Command):
    """Every head model and detector: installed or how to install, licence, commercial use, size; and which calibrations there are."""

    head: tuple[str, ...] = ()
    """Heads to describe beside those that have a name of their own, such as flame:/path/to/file.pkl or anny+1."""
    head_licence: str | None = None
    """Licence of FLAME's file, cc-by-4.0 for the open one of 2023."""
    json: bool = False
    """Print JSON instead of tables."""

    def __call__(self, reporter: Reporter) -> None:
        from studio.asset_tables import print_assets

        print_assets(reporter, heads=self.head, licence=self.head_licence, as_json=self.json)


@dataclasses.dataclass(frozen=True)
class AssetsShow(Command):
    """One head in full: what it has, what it lacks, and how well each ARKit shape could be mapped onto it."""

    head: Positional[str]
    """anny, ict or flame:PATH, each optionally with +1 or +2."""
    head_licence: str | None = None
    """Licence of FLAME's file, cc-by-4.0 for the open one of 2023."""

    def parts(self) -> tuple[LicencedPart, ...]:
        return (head_part(self.head, licence=self.head_licence),)

    def __call__(self, reporter: Reporter) -> None:
        from studio.asset_tables import print_head

        print_head(reporter, self.head, self.head_licence)


@dataclasses.dataclass(frozen=True)
class AssetsInstall(Command):
    """Install a head model or detector file into the user's data folder, with its licence shown and recorded."""

    name: Positional[Literal["ict-facekit", "face-landmarker"]]
    """What to install."""
    source: Annotated[Path | None, arg(name="from")] = None
    """File, folder or archive to install from instead of downloading."""

    def parts(self) -> tuple[LicencedPart, ...]:
        from studio.asset_work import asset_part

        return (asset_part(self.name),)

    def __call__(self, reporter: Reporter) -> None:
        from studio.asset_work import install_asset

        install_asset(reporter, self.name, self.source)


@dataclasses.dataclass(frozen=True)
class AssetsCalibrate(Command):
    """Find where the face detector's landmarks lie on a head model, by rendering it, and keep that in the user's data folder."""

    head: str
    """anny, ict or flame:PATH, each optionally with +1 or +2."""
    head_licence: str | None = None
    """Licence of FLAME's file, cc-by-4.0 for the open one of 2023."""
    detector: Literal["bundled", "tasks"] = "bundled"
    """The face mesh of the mediapipe wheel, or that of the installed face_landmarker.task."""
    out: Path | None = None
    """Folder for the files; without it, the user's data folder, where they are looked for."""

    def parts(self) -> tuple[LicencedPart, ...]:
        return (head_part(self.head, licence=self.head_licence), DETECTOR)

    def __call__(self, reporter: Reporter) -> None:
        from studio.asset_work import calibrate_head

        calibrate_head(reporter, self.head, self.head_licence, self.detector, self.out)


Action = (
    Annotated[AssetsList, subcommand("list", prefix_name=False)]
    | Annotated[AssetsShow, subcommand("show", prefix_name=False)]
    | Annotated[AssetsInstall, subcommand("install", prefix_name=False)]
    | Annotated[AssetsCalibrate, subcommand("calibrate", prefix_name=False)]
)


@dataclasses.dataclass(frozen=True)
class Assets:
    """Head models, detector files and calibrations: list, show, install, calibrate."""

    action: OmitArgPrefixes[Action]

    @property
    def commercial(self) -> bool:
        """Whether --commercial was given."""
        return self.action.commercial

    def parts(self) -> tuple[LicencedPart, ...]:
        """The parts of the action."""
        return self.action.parts()

    def __call__(self, reporter: Reporter) -> int | None:
        """Run the action."""
        return self.action(reporter)
