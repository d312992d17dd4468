"""`capture.json`: which pictures a capture holds, with their statuses and known cameras, as a named artefact."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assets.errors import ArtifactError, ReconError
from recon.capture import Capture, View
from render.camera import Camera
from studio.artifacts import read_json, write_json


def write_capture(path: Path, capture: Capture) -> Path:
    """Write all views with their statuses; picture paths are absolute, since the pictures stay where they are."""
    views = [
        {**_fields(view), "path": view.path.resolve(), "camera": None if view.camera is None else view.camera.to_dict()}
        for view in capture.views
    ]
    further = [source.resolve() for source in capture.further_sources]
    return write_json(path, {**_fields(capture), "source": capture.source.resolve(), "further_sources": further, "views": views})


def _fields(record: Capture | View) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def read_capture(path: Path) -> Capture:
    """The capture as written; raises ArtifactError where the file is absent, broken, or its pictures have gone."""
    record = read_json(path)
    try:
        views = tuple(_view(item) for item in record["views"])
        further = tuple(Path(source) for source in record.get("further_sources", ()))
        capture = Capture(Path(record["source"]), views, record["scale"], tuple(record["notes"]), further)
    except (KeyError, TypeError, ValueError, ReconError) as error:
        raise ArtifactError(
            expected=f"views, scale and notes in {path}", got=f"{type(error).__name__}: {error}", do="run the capture stage again"
        ) from error
    gone = [view.path for view in views if view.status == "ok" and not view.path.is_file()]
    if gone:
        raise ArtifactError(
            expected="the pictures where they were", got=f"{gone[0]} is gone", do="put them back, or run on their new folder"
        )
    return capture


def _view(record: Mapping[str, Any]) -> View:
    names = {field.name for field in dataclasses.fields(View)}
    values = {name: value for name, value in record.items() if name in names}
    values["path"] = Path(record["path"])
    values["camera"] = None if record["camera"] is None else Camera.from_dict(record["camera"])
    values["distortion"] = tuple(record["distortion"])
    return View(**values)
