"""Where assets that the user installs, and the user's own calibrations, live."""

from __future__ import annotations

import os
from pathlib import Path


def data_home() -> Path:
    """`$RECON_HOME`, else `$XDG_DATA_HOME/recon`, else `~/.local/share/recon`; not created here.

    Unlike the cache (`assets.cache.cache_dir`) nothing in it can be made anew without the network or the user's files.
    """
    if chosen := os.environ.get("RECON_HOME"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "recon"
