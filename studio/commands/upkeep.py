"""`recon doctor`."""

from __future__ import annotations

import dataclasses

from studio.commands.base import Command
from studio.console import Reporter


@dataclasses.dataclass(frozen=True)
class Doctor(Command):
    """What is installed, which version, and what is lost without it. Exit code 1 where the main path cannot work."""

    def __call__(self, reporter: Reporter) -> int:
        from studio.summary import print_doctor

        return print_doctor(reporter)
