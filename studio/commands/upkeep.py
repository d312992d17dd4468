"""`recon doctor` and `recon inspect`: what is installed, and what an avatar is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tyro.conf import Positional

from assets.licences import LicencedPart
from studio.commands.base import Command
from studio.console import Reporter
from studio.licences import avatar_part


@dataclasses.dataclass(frozen=True)
class Doctor(Command):
    """What is installed, which version, and what is lost without it. Exit code 1 where the main path cannot work."""

    def __call__(self, reporter: Reporter) -> int:
        from studio.summary import print_doctor

        return print_doctor(reporter)


@dataclasses.dataclass(frozen=True)
class Inspect(Command):
    """An avatar in; its head, its size with the error and where that comes from, and each picture with its status out."""

    avatar: Positional[Path]
    """Avatar folder, or an output folder that holds one."""

    def parts(self) -> tuple[LicencedPart, ...]:
        return (avatar_part(self.avatar),)

    def __call__(self, reporter: Reporter) -> None:
        from studio.single_stages import find_avatar
        from studio.summary import print_avatar

        print_avatar(find_avatar(self.avatar), reporter)
