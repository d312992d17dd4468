"""Views with the cameras of a rig."""

from __future__ import annotations

import dataclasses

import numpy as np

from assets.counting import how_many
from assets.errors import ConventionError, InputError
from recon.capture import View
from recon.rig.records import Rig, RigCamera
from recon.rig.turned import turned

# A skew that moves no pixel of a large picture by more than this is none.
_NO_SKEW_PX = 1e-3


def with_cameras(views: list[View], rig: Rig) -> tuple[list[View], list[str]]:
    """Views with their camera of the rig, and notes; one of another size than its camera is `rejected` with the reason.

    A picture or video frame that the rig has no camera for stays as it is: it goes in as a loose one. A view's camera has no skew:
    where the rig's has, it is part of the view's lens. Where the sizes show that the stored pixels were calibrated, and EXIF turns
    them, the cameras are turned too. Raises NoPictureError where no view gets a camera.
    """
    stored = any(_is_of_stored_pixels(view, rig.find(view.path)) for view in views if view.status == "ok" and view.frame_index is None)
    matched = [
        (_with_camera(view, rig, view.quarter_turns if stored else 0), rig.find(view.path) if view.frame_index is None else None)
        for view in views
    ]
    if not any(view.camera is not None for view, _ in matched):
        lying = [view for view, entry in matched if entry is not None and _is_turned(view, entry)]
        why = matched[0][0].reason or f"has no camera in {rig.path.name}"
        raise NoPictureError(
            expected=f"pictures named in {rig.path}, such as {rig.cameras[0].image}",
            got=f"{how_many(len(views), 'picture')}, the first {views[0].name}: {why}",
            do=_TURNED if lying else "use the names of the pictures in the cameras file, at the size that was calibrated",
        )
    turned_notes = [TURNED_NOTE.format(rig.path.name)] if stored else []
    used = {entry.image for _, entry in matched if entry is not None}
    absent = [entry.image for entry in rig.cameras if entry.image not in used]
    notes = [_absent_note(absent, rig.path.name)] if absent else []
    loose = [view for view, entry in matched if entry is None and view.status == "ok"]
    if loose:
        notes.append(_loose_note([view.name for view in loose], rig.path.name))
    return [view for view, _ in matched], [*rig.notes, *notes, *turned_notes]


def _absent_note(cameras: list[str], file: str) -> str:
    return f"{how_many(len(cameras), 'camera')} of {file} {'has' if len(cameras) == 1 else 'have'} no picture here (such as {cameras[0]})"


def _loose_note(pictures: list[str], file: str) -> str:
    have = how_many(len(pictures), "picture has", "pictures have")
    goes = "goes in as a loose one" if len(pictures) == 1 else "go in as loose ones"
    return f"{have} no camera in {file} and {goes} (such as {pictures[0]}): pose, focal length and exposure of each are found in the solve."


class NoPictureError(InputError):
    """A cameras file names none of the pictures."""


_TURNED = (
    "width and height are swapped: exchange them in the cameras file; or, where the pictures were turned by another program, calibrate the "
    "turned ones"
)
TURNED_NOTE = "{} was calibrated on the stored pixels, which EXIF turns: its cameras were turned with the pictures."


def _is_of_stored_pixels(view: View, entry: RigCamera | None) -> bool:
    """Whether a picture that EXIF turns by a quarter has the calibrated size before that, and not after."""
    return entry is not None and view.quarter_turns % 2 == 1 and _is_turned(view, entry)


def _is_turned(view: View, entry: RigCamera) -> bool:
    size = entry.camera.width, entry.camera.height
    return size[0] != size[1] and (view.height, view.width) == size


def _with_camera(view: View, rig: Rig, turns: int) -> View:
    if view.status != "ok":
        return view
    entry = rig.find(view.path) if view.frame_index is None else None
    if entry is None:
        return view
    entry = _as_shown(entry, rig, turns)
    camera = entry.camera
    if (view.width, view.height) != (camera.width, camera.height):
        reason = f"is {view.width}x{view.height}, but {rig.path.name} was calibrated for {camera.width}x{camera.height}"
        swapped = ": width and height are swapped" if _is_turned(view, entry) else ""
        return dataclasses.replace(view, status="rejected", reason=reason + swapped)
    return dataclasses.replace(
        view,
        camera=entry.camera,
        distortion=entry.distortion,
        lens=entry.lens,
        focal_px=float(camera.K[0, 0]),
        camera_file=rig.path.name,
        camera_unit=rig.unit,
        camera_axes=rig.axes,
        camera_inverted=rig.inverted,
        camera_turns=turns,
    )


def _as_shown(entry: RigCamera, rig: Rig, turns: int) -> RigCamera:
    """The camera turned with its picture, with the skew taken from K into the lens."""
    entry = _skew_into_lens(entry, rig)
    if turns == 0:
        return entry
    if entry.lens == "brown" and entry.distortion and entry.distortion[6] != 0:
        raise ConventionError(
            expected="cameras without skew for pictures that EXIF turns",
            got=f"{rig.path}, camera {entry.image}: a skew of {entry.distortion[6]:.3g} times the focal length",
            do="turn the pixels themselves (`mogrify -auto-orient`) and calibrate these, or calibrate without skew",
        )
    return turned(entry, turns)


def _skew_into_lens(entry: RigCamera, rig: Rig) -> RigCamera:
    """The same rays by a K without skew."""
    K = entry.camera.K.copy()
    share = K[0, 1] / K[0, 0]
    K[0, 1] = 0.0
    if share == 0:
        return entry
    camera = dataclasses.replace(entry.camera, K=K)
    if abs(share) * K[0, 0] * np.hypot(entry.camera.width, entry.camera.height) / K[1, 1] < _NO_SKEW_PX:
        return dataclasses.replace(entry, camera=camera)
    c = entry.distortion
    if entry.lens == "brown" and c:
        return dataclasses.replace(entry, camera=camera, distortion=(*c[:6], c[6] + share))
    if not c or (entry.lens == "opencv" and len(c) <= 5):
        k1, k2, p1, p2, k3 = (*c, *(0.0,) * (5 - len(c)))
        return dataclasses.replace(entry, camera=camera, lens="brown", distortion=(k1, k2, p1, p2, k3, 0.0, share))
    raise ConventionError(
        expected="cameras without skew for this lens model",
        got=f"{rig.path}, camera {entry.image}: a skew of {entry.camera.K[0, 1]:.3g} px with {entry.lens} of {len(c)} coefficients",
        do="undistort the pictures first, or calibrate without skew",
    )
