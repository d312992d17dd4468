"""What doctor says of what users install themselves: other heads, the second detector, the model table, what is calibrated."""

from __future__ import annotations

from assets.heads import HeadEntry
from studio.asset_tables import AssetListing, CalibrationEntry, DetectorEntry, list_assets, yes_no
from studio.doctor import Finding, State, one_line

STATES: dict[str, State] = {"installed": "ok", "not installed": "missing", "broken": "broken"}


def asset_findings() -> list[Finding]:
    """Findings on heads beside the default one, on detectors and calibrations; one that says why where they cannot be listed."""
    try:
        listing = list_assets()
    except Exception as error:
        # Doctor tells what is broken, whatever it is.
        return [Finding("assets", "broken", one_line(error), "see the reason")]
    return findings_of(listing)


def findings_of(listing: AssetListing) -> list[Finding]:
    """One finding a head and detector, and one for each head's calibrations."""
    heads = [_head(entry) for entry in listing.heads if entry.name != "anny"]
    detectors = [_detector(entry) for entry in listing.detectors]
    by_head: dict[str, list[CalibrationEntry]] = {}
    for entry in listing.calibrations:
        by_head.setdefault(entry.head, []).append(entry)
    return [*heads, *detectors, *(_calibrations(name, entries) for name, entries in by_head.items())]


def _head(entry: HeadEntry) -> Finding:
    licence = f"{entry.licence}; commercial use: {yes_no(entry.commercial)}"
    if entry.name == "flame:PATH":
        return Finding("head flame:PATH", "info", f"your own file; {licence}; {entry.how_to_install}")
    size = f"{entry.num_vertices} vertices, {entry.num_blendshapes} of 52 shapes; " if entry.num_vertices else ""
    reason = f"{entry.detail}; " if entry.status == "broken" else ""
    return Finding(f"head {entry.name}", STATES[entry.status], f"{size}{reason}{licence}", f"--head {entry.name}: {entry.how_to_install}")


def _detector(entry: DetectorEntry) -> Finding:
    needed = entry.name == "bundled"
    found = {"installed": entry.detail, "not installed": "no file"}.get(entry.status, entry.detail)
    lost = f"--fit.detector {entry.name} ({entry.finds}): {entry.how_to_install}"
    return Finding(f"detector {entry.name}", STATES[entry.status], f"{found}; {entry.licence}", lost, needed)


def _calibrations(head: str, entries: list[CalibrationEntry]) -> Finding:
    there = [f"{entry.detector} ({entry.status})" for entry in entries if entry.status != "missing"]
    missing = [entry for entry in entries if entry.status == "missing"]
    is_fit_possible = any(entry.detector == "bundled" and entry.status != "missing" for entry in entries)
    lost = "; ".join(f"fits of {head} with {entry.detector}: {entry.detail}" for entry in missing)
    state: State = "ok" if is_fit_possible else "missing"
    return Finding(f"calibration {head}", state, ", ".join(there) or "none", lost, needed=head == "anny")
