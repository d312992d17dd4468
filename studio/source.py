"""What a run reads of the user's own files, and whether the output folder stays clear of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assets.errors import InputError
from recon.capture import CaptureSettings
from studio.artifacts import ARTEFACTS, hash_files

TRUTH_FOLDER = "gt"
"""Ground truth lies here in a capture's folder; `evaluate` compares with it."""


def hash_sources(sources: Sequence[Path], cameras: Path | None, settings: CaptureSettings) -> dict[str, str]:
    """SHA-256 by path relative to the first source's folder, of all files that ingest and evaluation read.

    Raises InputError where a source or the cameras file is not there, or where no picture is in a source.
    """
    from recon.ingest import as_sources, capture_files

    source = as_sources(sources)[0]
    if cameras is not None and not cameras.exists():
        raise InputError(expected="a cameras file", got=f"no such file: {cameras}", do="check the path given with --cameras")
    folder = source if source.is_dir() else source.parent
    truth = source / TRUTH_FOLDER
    truth_files = [path for path in sorted(truth.iterdir()) if path.is_file() and not path.name.startswith(".")] if truth.is_dir() else []
    return hash_files((*capture_files(sources, cameras=cameras, settings=settings), *truth_files), base=folder)


def check_out_is_apart(source: Path, out: Path) -> None:
    """Raises InputError where artefacts would be taken for pictures, or would replace them.

    An output folder in a folder of photos is fine, since folders inside are not searched; so are photos in a folder of their own
    name inside the output folder.
    """
    source, out = source.resolve(), out.resolve()
    if source.is_dir() and out in _searched(source):
        raise InputError(
            expected="an output folder apart from the photos",
            got=f"--out {out}, where the photos of {source} lie",
            do=f"give another --out, such as {out / 'out'}",
        )
    taken = {".stages", *ARTEFACTS.values()}
    if source.is_relative_to(out) and source != out and source.relative_to(out).parts[0] in taken:
        raise InputError(
            expected="photos that no artefact would replace",
            got=f"{source}, inside what a run writes into {out}",
            do="move the photos out of there, or give another --out",
        )


def _searched(source: Path) -> Sequence[Path]:
    return (source, source / "images", source / TRUTH_FOLDER)
