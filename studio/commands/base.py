"""What all commands share."""

from __future__ import annotations

import dataclasses

from assets.licences import LicencedPart
from studio.console import Reporter


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """A command; its fields are its arguments."""

    commercial: bool = False
    """Refuse every head, detector or model whose licence does not allow commercial use, before anything is done (RECON_COMMERCIAL=1)."""

    def parts(self) -> tuple[LicencedPart, ...]:
        """The parts by others that this command goes through; looked up without computing or writing anything."""
        return ()

    def __call__(self, reporter: Reporter) -> int | None:
        """Run; returns the exit code, None for 0."""
        raise NotImplementedError
