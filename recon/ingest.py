"""Take in folders of photos, photos and videos of one person as a Capture with a status for each picture."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from assets.counting import how_many
from assets.errors import ConventionError, InputError
from recon.capture import Capture, CaptureSettings, View, check_capture_settings
from recon.keyframes import keyframe_views
from recon.lens import is_straight, undistort_picture
from recon.photo import probe_photo, read_photo
from recon.rig import CAMERAS_FILE, NoPictureError, load_rig, rig_files, with_cameras
from recon.source_files import source_files
from recon.video import read_frame

DEFAULT_SETTINGS = CaptureSettings()

ONE_PHOTO_NOTE = (
    "one picture only: the depth of nose, chin and ears and everything that it does not show are guessed from the average head; "
    "add photos from both sides"
)

UNKNOWN_UNIT_NOTE = (
    "{} ({}) states no unit, so the rig has no size of its own: the head gets an average one's, or that of a stated distance between the "
    "pupils. State the unit with --cameras-unit m, cm or mm."
)


def load_capture(
    path: Path | str | Sequence[Path | str], *, cameras: Path | str | None = None, settings: CaptureSettings = DEFAULT_SETTINGS
) -> Capture:
    """A Capture from a folder of photos (and videos), a single photo, a video, or several of these of one person.

    A folder without pictures of its own that has a folder `images` gives those. `cameras`, or a `cameras.json` in a folder, makes a
    calibrated rig of the pictures that it names: a file or folder of any format in docs/cameras.md, metric where it states a unit or
    `settings` does. Pictures that it does not name, and the other sources, go into the same solve as loose ones. A name that an
    earlier source has too gets its source's before it. Pictures stay on disk; `read_view` decodes one. A file that cannot be used
    gets a status and a reason.

    Raises RangeError for settings that allow no picture, InputError where nothing usable remains, ConventionError for cameras that
    are none, and for two rigs, which have two worlds.
    """
    check_capture_settings(settings)
    sources = as_sources(path)
    taken, notes = [], []
    for source in sources:
        views, own = _take_in(source, settings)
        taken.append(views)
        notes += own
    taken, own = _with_rig(sources, named_apart(sources, taken), cameras, settings)
    views = _mark_duplicates([view for group in taken for view in group])
    notes = list(dict.fromkeys([*notes, *own]))
    _require_usable(sources, views)
    if sum(view.status == "ok" for view in views) == 1:
        notes.append(ONE_PHOTO_NOTE)
    is_metric = any(view.camera_unit for view in views if view.camera is not None)
    return Capture(
        sources[0], tuple(views), scale="metric" if is_metric else "relative", notes=tuple(notes), further_sources=tuple(sources[1:])
    )


def capture_files(
    path: Path | str | Sequence[Path | str], *, cameras: Path | str | None = None, settings: CaptureSettings = DEFAULT_SETTINGS
) -> tuple[Path, ...]:
    """The files that `load_capture` reads with the same arguments: pictures, videos, and the cameras file of a rig.

    Nothing is opened. Raises InputError where a source holds no picture.
    """
    found: list[Path] = []
    sources = as_sources(path)
    for source in sources:
        files = source_files(source)
        found += [*files.images, *(files.videos if not files.images or settings.videos_beside_photos else ())]
    given = [Path(cameras)] if cameras is not None else [own for own in map(_own_rig_file, sources) if own]
    return (*found, *(file for rig_file in given for file in rig_files(rig_file)))


def as_sources(path: Path | str | Sequence[Path | str]) -> list[Path]:
    """One source or several as a list; raises InputError for none, for one that does not exist, or one that is given twice."""
    sources = [Path(path)] if isinstance(path, Path | str) else [Path(item) for item in path]
    if not sources:
        raise InputError(expected="a folder with photos, a photo, or a video", got="no source", do="name what is to be taken in")
    for number, source in enumerate(sources):
        if not source.exists():
            raise InputError(
                expected="a folder with photos, a photo, or a video", got=f"{source}, which does not exist", do="check the path"
            )
        if source.resolve() in [other.resolve() for other in sources[:number]]:
            raise InputError(expected="sources that differ", got=f"{source} twice", do="give each source once")
    return sources


def named_apart(sources: Sequence[Path], taken: Sequence[list[View]]) -> list[list[View]]:
    """The views of each source under names that no other source's have.

    All views of a later source get its name before theirs where one of them needs it: the names of a rig's pictures tell which of them
    show one instant, so they must change together.
    """
    used: set[str] = set()
    apart: list[list[View]] = []
    for source, views in zip(sources, taken, strict=True):
        # A path such as "." has no name of its own.
        folder = (source if source.is_dir() else source.parent).resolve()
        label = folder.parent.name if folder.name == "images" else folder.name
        names, number = [view.name for view in views], 1
        while used & set(names):
            before = label if number == 1 else f"{label}~{number}"
            names, number = [f"{before}/{view.name}" for view in views], number + 1
        used |= set(names)
        apart.append([dataclasses.replace(view, name=name) for view, name in zip(views, names, strict=True)])
    return apart


def _take_in(source: Path, settings: CaptureSettings) -> tuple[list[View], list[str]]:
    """Views of one source, not yet with cameras, and notes."""
    files = source_files(source)
    notes = [*files.notes]
    views = [probe_photo(image, settings) for image in (*files.images, *files.unread)]
    for video in files.videos if not files.images or settings.videos_beside_photos else ():
        frames, video_notes = _video_views(video, settings)
        views += frames
        notes += video_notes
    return views, notes


def _with_rig(
    sources: Sequence[Path], taken: list[list[View]], cameras: Path | str | None, settings: CaptureSettings
) -> tuple[list[list[View]], list[str]]:
    """The views of the rig's source with their cameras, and notes.

    A cameras file that was given belongs to the first source of which it names a picture; one beside its pictures to these.
    """
    own = {k: file for k, source in enumerate(sources) if (file := _own_rig_file(source)) is not None}
    if cameras is None and len(own) > 1:
        files = " and ".join(str(file) for file in own.values())
        raise ConventionError(
            expected="one calibrated rig: two have two worlds, and nothing says how they lie to each other",
            got=files,
            do="calibrate all cameras together, or name one's file with --cameras: the other's pictures then go in as loose ones",
        )
    tries = [(k, Path(cameras)) for k in range(len(sources))] if cameras is not None else [*own.items()]
    refused: InputError | None = None
    for k, file in tries:
        try:
            views, notes = _calibrated(taken[k], file, settings)
        except NoPictureError as error:
            refused = refused or error
            continue
        return [*taken[:k], views, *taken[k + 1 :]], notes
    if refused is not None:
        raise refused
    return taken, []


def _calibrated(views: list[View], rig_file: Path, settings: CaptureSettings) -> tuple[list[View], list[str]]:
    sizes = {view.name.rsplit("/", 1)[-1]: (view.width, view.height) for view in views if view.status == "ok"}
    rig = load_rig(rig_file, sizes=sizes, unit=settings.cameras_unit, invert=settings.cameras_invert, axes=settings.cameras_axes)
    views, notes = with_cameras(views, rig)
    return views, [*notes, *([] if rig.unit else [UNKNOWN_UNIT_NOTE.format(rig.path.name, rig.format)])]


def read_view(view: View) -> np.ndarray:
    """(H, W, 3) uint8 RGB: EXIF orientation applied, lens distortion removed. The same view always gives the same pixels.

    Video frames are decoded again from the file by their index; the last ones are kept in memory.
    """
    try:
        image = read_photo(view.path) if view.frame_index is None else read_frame(view.path, view.frame_index)
    except OSError as error:
        raise InputError(
            expected=f"the picture {view.name} as it was taken in", got=str(error), do="put the file back and run again"
        ) from error
    if view.camera is None or is_straight(view.lens, view.distortion):
        return image
    return undistort_picture(image, view.camera, view.lens, view.distortion)


def _video_views(video: Path, settings: CaptureSettings) -> tuple[list[View], list[str]]:
    """Key frames, or one view with the status `unreadable`: a broken video among good photos must not stop the work."""
    try:
        return keyframe_views(video, settings)
    except InputError as error:
        return [View(name=video.name, path=video, status="unreadable", reason=error.got)], []


def _mark_duplicates(views: list[View]) -> list[View]:
    """The second of two files with the same bytes tells nothing new, and would count twice."""
    by_size: dict[int, list[View]] = defaultdict(list)
    # Of two equal files, the one with a known camera is the first.
    for view in sorted(views, key=lambda view: view.camera is None):
        if view.status == "ok" and view.frame_index is None:
            by_size[view.path.stat().st_size].append(view)
    first: dict[str, str] = {}
    duplicate_of: dict[str, str] = {}
    for same_size in by_size.values():
        if len(same_size) == 1:
            continue
        for view in same_size:
            original = first.setdefault(hashlib.sha256(view.path.read_bytes()).hexdigest(), view.name)
            if original != view.name:
                duplicate_of[view.name] = original
    return [
        dataclasses.replace(view, status="rejected", reason=f"duplicate of {duplicate_of[view.name]}")
        if view.name in duplicate_of
        else view
        for view in views
    ]


def _own_rig_file(path: Path) -> Path | None:
    """The cameras file that lies beside a source's pictures."""
    folder = path if path.is_dir() else path.parent
    # A rig's pictures often lie in a folder `images` beside the cameras file.
    for candidate in (folder / CAMERAS_FILE, folder.parent / CAMERAS_FILE if folder.name == "images" else None):
        if candidate is not None and candidate.is_file():
            return candidate
    return None


def _require_usable(sources: Sequence[Path], views: list[View]) -> None:
    if any(view.status == "ok" for view in views):
        return
    path = ", ".join(str(source) for source in sources)
    counts = ", ".join(f"{number} {status}" for status, number in Counter(view.status for view in views).most_common())
    reasons = "; ".join(f"{view.name}: {view.reason}" for view in views[:3])
    raise InputError(
        expected="at least one picture that can be used",
        got=f"{path} with {how_many(len(views), 'picture')}: {counts} ({reasons}{'; ...' if len(views) > 3 else ''})",
        do=_what_to_do(views),
    )


def _what_to_do(views: list[View]) -> str:
    megapixels = [math.ceil(view.width * view.height / 1e6) for view in views if view.status == "too_large"]
    advice = []
    if any(megapixels):
        option = f"--capture.max-megapixels {max(megapixels)} (in Python CaptureSettings.max_megapixels)"
        advice.append(f"raise the limit with {option}, or make the pictures smaller")
    if len(megapixels) < len(views) or not any(megapixels):
        advice.append("replace the files named here, or give another folder")
    return "; ".join(advice)
