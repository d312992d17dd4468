"""What `recon assets install` and `recon assets calibrate` do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from assets.errors import InputError
from assets.licences import DETECTOR, LicencedPart
from studio.console import Reporter


def asset_part(name: str) -> LicencedPart:
    """Licence of an asset that can be installed."""
    from assets.heads import head_part

    return head_part("ict") if name == "ict-facekit" else DETECTOR


def install_asset(reporter: Reporter, name: str, source: Path | None) -> None:
    """Install an asset into the user's data folder and say what was installed, from where, under which licence."""
    from assets.install import install

    part = asset_part(name)
    reporter.say(f"{name}: {part.licence}, commercial use {'allowed' if part.commercial else 'not allowed'}")
    with reporter.stage(f"install {name}"):
        asset = install(name, from_path=source, progress=reporter.progress)
    reporter.say(f"installed in {asset.path}: {asset.size_bytes / 1e6:.1f} MB from {asset.source}, SHA-256 {asset.sha256[:16]}...")
    if name == "ict-facekit":
        from assets.heads import load_head

        with reporter.stage("compile the head"):
            head = load_head("ict")
        reporter.say(f"--head ict: {head.num_vertices:,} vertices, {head.num_identity} identity modes; {head.licence}")


def calibrate_head(reporter: Reporter, name: str, licence: str | None, detector: Literal["bundled", "tasks"], out: Path | None) -> None:
    """Calibrate a detector on a head and keep the result where it is looked for, or in a folder."""
    from assets.heads import check_licence_statement, load_head
    from recon.calibrate import calibrate_and_save

    if out is not None and out.exists() and not out.is_dir():
        raise InputError(expected="a folder for the calibration, or none yet", got=f"{out}, a file", do="give another --out")
    check_licence_statement(name, licence)
    head = load_head(name, licence=licence)
    with reporter.stage(f"calibrate {detector} on {name}"):
        files = calibrate_and_save(head, detector=detector, folder=out, progress=reporter.progress)
    for path in files:
        reporter.say(f"{path}")
