"""The user's cache directory and atomic files of arrays in it."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from assets.atomic import written_beside
from assets.errors import InputError


def cache_dir() -> Path:
    """`$RECON_CACHE`, else `$XDG_CACHE_HOME/recon`, else `~/.cache/recon`; not created here."""
    if chosen := os.environ.get("RECON_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "recon"


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an uncompressed NPZ beside `path` and renames it, so that no reader ever sees half a file."""
    with written_beside(path) as beside, beside.open("wb") as file:
        np.savez(file, **arrays)


def keep_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes what was computed into the cache; where that fails the result is as good, only computed anew each time (RuntimeWarning)."""
    try:
        write_arrays(path, arrays)
    except (OSError, InputError) as error:
        warnings.warn(
            f"the compiled head cannot be kept in {path} ({error}), so each run compiles it anew; "
            "set RECON_CACHE to a folder that can be written",
            RuntimeWarning,
            stacklevel=4,
        )


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Arrays of an NPZ, never pickles; None where the file is absent or damaged, so that the caller makes it anew."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError, OSError):
        return None
