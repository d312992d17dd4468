"""Which parts by others a command goes through, with their licences: what `--commercial` refuses, and what the records name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assets.head_model import HeadModel
from assets.heads import head_part
from assets.licences import DETECTOR, UNKNOWN_LICENCE, LicencedPart, model_part, refuse_non_commercial
from conditioning.diffusion.settings import GenerateSettings
from recon.avatar_places import check_avatar_place
from studio.artifacts import read_object
from studio.settings import RunSettings

OWN_TRAINING = "trained from nothing by recon on renders of an avatar"

_FIT_ANEW = "fit it again with --head anny or --head ict; an avatar on the open FLAME 2023 with --head-licence cc-by-4.0"


def check_commercial(settings: RunSettings, *, out: Path | None = None, only: Sequence[str] = ()) -> None:
    """The same check as `--commercial`: raises LicenceError naming each part of a run that does not allow commercial use."""
    refuse_non_commercial(run_parts(settings, out=out, only=only))


def run_parts(settings: RunSettings, *, out: Path | None = None, only: Sequence[str] = ()) -> tuple[LicencedPart, ...]:
    """Parts of a run with these settings: the head (the stored avatar's where none is fitted), the detector, the diffusion model.

    Args:
        out: output folder, looked into where the run goes on from what lies there.
        only: stages that are run; all where empty.
    """
    parts: list[LicencedPart] = []
    if not only or "fit" in only:
        parts.append(head_part(settings.fit.head, licence=settings.fit.head_licence))
    elif out is not None and (out / "avatar" / "avatar.json").is_file():
        parts.append(avatar_part(out))
    if not only or {"fit", "evaluate"} & set(only):
        parts.append(DETECTOR)
    if (not only or "generate" in only) and not settings.train.enabled:
        parts += generate_parts(settings.generate)
    return tuple(parts)


def generate_parts(settings: GenerateSettings) -> tuple[LicencedPart, ...]:
    """The diffusion model and its ControlNets; none where no model is named."""
    names = [settings.model, *settings.controlnets] if settings.model else []
    return tuple(tiny_part(name) or model_part(name, statement=settings.model_licence) for name in dict.fromkeys(names))


def tiny_part(name: str) -> LicencedPart | None:
    """A folder of the demo's tiny checkpoint, which may be used as far as the parts that it was trained with; None for any other."""
    folder = Path(name)
    record = read_object(folder.parent / "tiny.json") if (folder.parent / "tiny.json").is_file() else {}
    if folder.name not in (record.get("model"), *record.get("controlnets", ())):
        return None
    behind = recorded_parts(folder.parent / "licences.json")
    refused = [part.name for part in behind if not part.commercial]
    licence = OWN_TRAINING + (f", made with {', '.join(refused)}" if refused else "")
    return LicencedPart(name, licence, not refused, do=_FIT_ANEW if refused else "")


def avatar_part(path: Path) -> LicencedPart:
    """The head of an avatar, as its record states it; `path` is the avatar's folder or an output folder that holds one.

    Raises ArtifactError where there is no avatar record.
    """
    folder = path / "avatar" if (path / "avatar").is_dir() else path
    check_avatar_place(folder)
    head: Mapping[str, Any] = read_object(folder / "avatar.json").get("head") or {}
    commercial = head.get("commercial")
    name = f"{head.get('name', 'a head without a name')} (avatar {folder})"
    return LicencedPart(name, str(head.get("licence") or UNKNOWN_LICENCE), commercial, "head", do="" if commercial else _FIT_ANEW)


def head_licence(head: HeadModel) -> LicencedPart:
    """The licence of a loaded head."""
    return LicencedPart(head.name, head.licence, head.commercial, "head", do="" if head.commercial else _FIT_ANEW)


def recorded_parts(record_path: Path) -> tuple[LicencedPart, ...]:
    """Parts that a record (control.json, frames.json, licences.json) names; none where it is absent or names none."""
    if not record_path.is_file():
        return ()
    names = {field.name for field in dataclasses.fields(LicencedPart)}
    return tuple(
        LicencedPart(**{key: value for key, value in item.items() if key in names}) for item in read_object(record_path).get("licences", ())
    )
