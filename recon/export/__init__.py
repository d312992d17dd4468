"""Avatars as files for other tools: GLB with 52 morph targets, OBJ (one, or a sequence), PLY, parameters of the head model."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from assets.errors import InputError
from recon.avatar import Avatar
from recon.export.description import check_frame, describe
from recon.export.glb import write_glb
from recon.export.head_parameters import export_parameters as export_parameters
from recon.export.head_parameters import head_parameters as head_parameters
from recon.export.obj import write_obj
from recon.export.ply import write_ply
from recon.export.sequence import export_shapes as export_shapes
from recon.export.sequence import export_sweep as export_sweep

FORMATS = (".glb", ".obj", ".ply")


def export_mesh(
    avatar: Avatar,
    path: Path | str,
    *,
    frame: Literal["head", "world"] = "head",
    weights: Mapping[str, float] | None = None,
    with_blendshapes: bool = True,
    view: str | None = None,
    with_uncertainty: bool = False,
) -> Path:
    """Write the avatar's mesh (skin, eyes, teeth, tongue as they are) in metres, +Y up and +Z front in the head frame.

    At relative scale a metre is that of the average head. OBJ and PLY state frame, axes and scale in a comment.

    Args:
        path: its suffix chooses the format: .glb, .obj (with .mtl and pictures beside it) or .ply.
        frame: "head", or "world" for the rest pose in the world (a calibrated rig's own frame, whose axes may differ).
        weights: ARKit weights by name of the exported expression; None: neutral. A GLB with blendshapes keeps the neutral as
            its base and carries them as the default weights of its morph targets.
        with_blendshapes: GLB only, write the 52 ARKit shapes as morph targets.
        view: name of a picture of the capture: the mesh as fitted to it, correction included and baked in, without morph targets.
        with_uncertainty: PLY only, colour each vertex by how far the surface may be off there (recon/uncertainty.py).

    Returns the path. OBJ and PLY keep the head's vertex order. Files are written beside and renamed. Raises InputError for
    another suffix, a frame that does not exist or a folder that cannot be written, RangeError for an unknown weight,
    DegenerateGeometryError for a view that was not registered.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise InputError(expected=f"a mesh file ending in {', '.join(FORMATS)}", got=str(path), do="choose one of these endings")
    check_frame(frame)
    if with_uncertainty and path.suffix.lower() != ".ply":
        raise InputError(expected="a PLY, which alone carries uncertainty", got=str(path), do="end the file's name in .ply")
    if with_uncertainty and avatar.uncertainty is None:
        raise InputError(expected="an avatar with its uncertainty", got="one that was saved without it", do="fit again")
    mesh = avatar.mesh(weights, frame, view=view)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
            beside = Path(scratch) / path.name
            if path.suffix.lower() == ".glb":
                write_glb(beside, avatar, frame=frame, weights=weights, with_blendshapes=with_blendshapes and view is None, view=view)
            elif path.suffix.lower() == ".obj":
                write_obj(beside, mesh, avatar.albedo_srgb, comment=describe(avatar, frame), normal_map=avatar.normal_map)
            else:
                spread = avatar.uncertainty if with_uncertainty else None
                write_ply(beside, mesh.vertices, mesh.triangles, comment=describe(avatar, frame), uncertainty=spread)
            for written in sorted(Path(scratch).iterdir(), key=lambda file: file.name == path.name):
                os.replace(written, path.parent / written.name)
    except OSError as error:
        raise InputError(expected="a folder that can be written", got=f"{path}: {error}", do="choose another one") from error
    return path
