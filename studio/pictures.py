"""Pictures and control bundles on disk, one file or one frame in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from PIL import Image

from assets.atomic import written_beside
from assets.errors import ArtifactError
from render.sweep import check_frame_name
from studio.artifacts import read_json

if TYPE_CHECKING:
    from conditioning import ControlBundle


def save_picture(path: Path, rgb: np.ndarray) -> Path:
    """Write (H, W, 3) uint8 as PNG, beside and renamed; returns the path."""
    with written_beside(path) as beside:
        Image.fromarray(rgb).save(beside, format="PNG")
    return path


def load_picture(path: Path) -> np.ndarray:
    """Read a PNG as (H, W, 3) uint8; raises ArtifactError where it is absent or broken."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError) as error:
        raise ArtifactError(expected=f"a picture at {path}", got=str(error), do="run the stage that writes it again") from error


def save_bundle(folder: Path, bundle: ControlBundle) -> list[Path]:
    """Write all pictures of one frame: FOLDER/KIND/NAME.png and FOLDER/init/NAME.png; returns their paths."""
    from conditioning import save_control

    paths = [save_control(folder, image) for image in bundle.images]
    if bundle.init_srgb is not None:
        paths.append(save_picture(folder / "init" / f"{bundle.name}.png", bundle.init_srgb))
    return paths


class StoredBundles(Sequence["ControlBundle"]):
    """What the control stage wrote, as a sequence of its frames; a frame's pictures are read when it is asked for and not kept.

    Raises ArtifactError where a picture is absent (at once) or broken (when its frame is asked for), RangeError for a name that is no
    plain file stem.
    """

    def __init__(self, folder: Path, kinds: Sequence[str], names: Sequence[str]) -> None:
        self.folder, self.kinds, self.names = folder, tuple(kinds), tuple(names)
        for name in self.names:
            check_frame_name(name)
            for kind in self.kinds:
                if not self._path(kind, name).is_file():
                    raise ArtifactError(
                        expected=f"all control pictures that {folder / 'control.json'} names",
                        got=f"no {self._path(kind, name)}",
                        do="run the control stage again",
                    )

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> ControlBundle: ...
    @overload
    def __getitem__(self, index: slice) -> StoredBundles: ...
    def __getitem__(self, index: int | slice) -> ControlBundle | StoredBundles:
        if isinstance(index, slice):
            return StoredBundles(self.folder, self.kinds, self.names[index])
        from conditioning import ControlBundle, load_control

        name = self.names[index]
        images = tuple(load_control(self._path(kind, name)) for kind in self.kinds)
        init = self._path("init", name)
        return ControlBundle(name, images, load_picture(init) if init.is_file() else None)

    def _path(self, kind: str, name: str) -> Path:
        return self.folder / kind / f"{name}.png"


def load_bundles(folder: Path) -> StoredBundles:
    """Open what the control stage wrote; raises ArtifactError where control.json or a picture is absent."""
    record = read_json(folder / "control.json")
    try:
        return StoredBundles(folder, record["kinds"], record["frames"])
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            expected=f"kinds and frames in {folder / 'control.json'}", got=repr(error), do="run the control stage again"
        ) from error
