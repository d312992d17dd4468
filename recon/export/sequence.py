"""Folders of numbered OBJ files: a sweep frame by frame, or the neutral and its 52 shapes; one topology, one material for all."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.errors import InputError
from recon.avatar import Avatar, transform_points
from recon.export.description import check_frame, describe
from recon.export.obj import obj_text, shared_lines, write_material
from render.sweep import Sweep

Progress = Callable[[str, int, int], None]

_SHAPE_FILES = "|".join(f"{index:02d}-{name}" for index, name in enumerate(("neutral", *ARKIT_BLENDSHAPES)))
_OURS = re.compile(rf"head\.mtl|head(_normal)?\.png|(head\.\d{{4,}}|{_SHAPE_FILES})\.obj")


def export_sweep(
    avatar: Avatar, sweep: Sweep, folder: Path | str, *, frame: Literal["head", "world"] = "head", progress: Progress | None = None
) -> Path:
    """Write a sweep as `head.0001.obj`, `head.0002.obj`, ... with `head.mtl` and its pictures; returns the folder.

    Each file is the head with that frame's expression, gaze and head pose; a sweep that moves the camera alone gives equal files.
    All have one vertex order, the head's, and one set of texture coordinates and faces. The first line of each names the sweep's
    frame.

    Args:
        folder: new, empty, or with an older sequence, which is replaced as a whole.
        frame: "head", or "world" for the rest pose in the world.

    Raises InputError for a folder with something else in it, or that cannot be written; RangeError for a weight of no shape.
    """
    check_frame(frame)
    number = (f"head.{index:04d}.obj" for index in range(1, len(sweep.frames) + 1))
    files = ((name, f"frame {one.name!r}", avatar.frame_vertices(one)) for name, one in zip(number, sweep.frames, strict=True))
    return _write_sequence(avatar, Path(folder), frame, files, len(sweep.frames), progress)


def export_shapes(
    avatar: Avatar, folder: Path | str, *, frame: Literal["head", "world"] = "head", progress: Progress | None = None
) -> Path:
    """Write `00-neutral.obj` and `01-eyeBlinkLeft.obj` to `52-tongueOut.obj`, each shape at weight 1; as `export_sweep` otherwise.

    A shape's file less the neutral's is the shape: lids are not pushed out of the eyeballs here, so a rig that adds them up
    gives what the GLB gives. Shapes that the head does not have are the neutral.
    """
    check_frame(frame)
    shapes = ((f"{index:02d}-{name}.obj", name, index - 1) for index, name in enumerate(ARKIT_BLENDSHAPES, 1))
    files = ((file, f"{name} at weight 1", avatar.neutral + avatar.blendshape_deltas[index]) for file, name, index in shapes)
    first = [("00-neutral.obj", "neutral", avatar.neutral)]
    return _write_sequence(avatar, Path(folder), frame, itertools.chain(first, files), 1 + len(ARKIT_BLENDSHAPES), progress)


def _write_sequence(
    avatar: Avatar,
    folder: Path,
    frame: Literal["head", "world"],
    files: Iterable[tuple[str, str, np.ndarray]],
    count: int,
    progress: Progress | None,
) -> Path:
    """Write (file name, comment, head-frame vertices) beside the folder, then put them in its place."""
    _check_free(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
            new, old = Path(scratch) / "new", Path(scratch) / "old"
            new.mkdir()
            material = write_material(new / "head.mtl", avatar.albedo_srgb, avatar.normal_map).name
            shared = shared_lines(avatar.mesh())
            for done, (name, about, vertices) in enumerate(files, 1):
                placed = vertices if frame == "head" else transform_points(avatar.T_world_head, vertices)
                comment = f"{describe(avatar, frame)}; {about}"
                (new / name).write_text(
                    obj_text(placed.astype(np.float32), avatar.head.triangles, shared, material, comment), encoding="utf-8"
                )
                if progress is not None:
                    progress("mesh files", done, count)
            _swap(new, old, folder)
    except OSError as error:
        raise InputError(expected="a folder that can be written", got=f"{folder}: {error}", do="choose another one") from error
    return folder


def _swap(new: Path, old: Path, folder: Path) -> None:
    """Put `new` in the folder's place, or the older sequence back where that fails."""
    if folder.exists():
        os.replace(folder, old)
    try:
        os.replace(new, folder)
    except BaseException:
        if old.exists():
            os.replace(old, folder)
        raise


def _check_free(folder: Path) -> None:
    """Raises InputError where writing the sequence would take something of the user's away."""
    if folder.is_file():
        raise InputError(expected="a folder for the sequence", got=f"{folder}, which is a file", do="choose another name")
    foreign = [path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name)] if folder.is_dir() else []
    if foreign:
        raise InputError(
            expected="a new folder, an empty one, or one with an older sequence",
            got=f"{folder}, which holds {sorted(foreign)[0]}",
            do="choose another folder for the sequence",
        )
