"""All settings of a run as nested frozen dataclasses; the command line and run.json are derived from them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.errors import ArtifactError, RangeError
from conditioning.control_image import ControlKind
from conditioning.diffusion.settings import GenerateSettings
from conditioning.encode import ControlSettings
from recon.avatar import NamedExpression
from recon.capture import CaptureSettings
from recon.fitting import FitSettings
from render.writing import AovName

EXPRESSIONS: Mapping[str, Mapping[str, float]] = {
    "smile": {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "cheekSquintLeft": 0.4, "cheekSquintRight": 0.4},
    "surprise": {
        "browInnerUp": 0.8, "browOuterUpLeft": 0.7, "browOuterUpRight": 0.7,
        "jawOpen": 0.45, "eyeWideLeft": 0.6, "eyeWideRight": 0.6,
    },
    "frown": {"browDownLeft": 0.8, "browDownRight": 0.8, "mouthFrownLeft": 0.6, "mouthFrownRight": 0.6},
    "blink": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    "jaw": {"jawOpen": 0.7},
}  # fmt: skip
"""Named expressions of the sweep; any ARKit blendshape name is one as well, at weight 1."""


def expression_weights(name: str, own: Sequence[NamedExpression] = ()) -> Mapping[str, float]:
    """ARKit weights of a named expression, the person's own before EXPRESSIONS, or of one ARKit name at weight 1.

    Raises RangeError for any other name, with the nearest one.
    """
    for expression in own:
        if expression.name == name:
            return expression.weights
    if name in EXPRESSIONS:
        return EXPRESSIONS[name]
    if name in ARKIT_BLENDSHAPES:
        return {name: 1.0}
    names = list(dict.fromkeys([*(expression.name for expression in own), *EXPRESSIONS]))
    near = difflib.get_close_matches(name, [*names, *ARKIT_BLENDSHAPES], 1, 0.0)[0]
    raise RangeError(
        expected=f"an expression out of {', '.join(names)}, or an ARKit blendshape name", got=repr(name), do=f"did you mean {near!r}?"
    )


@dataclasses.dataclass(frozen=True)
class SweepSettings:
    """Which frames the avatar is rendered in: an orbit of the camera, a turn of the head, and one ramp for each expression."""

    orbit_deg: tuple[float, float] = (-80.0, 80.0)
    """First and last yaw at which the camera sees the head, degrees; positive shows the subject turned to their own left."""
    orbit_frames: int = 9
    """Frames of the orbit; 0 leaves it out."""
    head_turn_deg: tuple[float, float] = (-40.0, 40.0)
    """First and last yaw of the head before a fixed camera, degrees."""
    head_turn_frames: int = 5
    """Frames of the head turn; 0 leaves it out."""
    expressions: tuple[str, ...] = ("smile", "surprise", "jaw")
    """The person's own expressions by name (avatar/expressions.yaml), smile, surprise, frown, blink, jaw, or ARKit names; each is ramped
    from rest to full. Where the person has one of that name, it is theirs."""
    expression_frames: int = 3
    """Frames of each expression ramp; 0 leaves them out."""
    width: int = 512
    """Picture width, pixels."""
    height: int = 512
    """Picture height, pixels."""


@dataclasses.dataclass(frozen=True)
class RenderSettings:
    """What is saved of each rendered frame."""

    aovs: tuple[AovName, ...] = ("beauty", "albedo", "alpha", "depth", "normal_cam", "part_id")
    """Outputs saved in render/AOV/FRAME."""


@dataclasses.dataclass(frozen=True)
class ControlStageSettings:
    """Which control pictures are made, and how large."""

    kinds: tuple[ControlKind, ...] = ("depth", "mediapipe_face")
    """Kinds, in the order of the ControlNets that they go to."""
    width: int | None = None
    """Picture width, pixels; None: the sweep's."""
    height: int | None = None
    """Picture height, pixels; None: the sweep's."""
    encoding: ControlSettings = dataclasses.field(default_factory=ControlSettings)


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """The demo's tiny diffusion checkpoint, trained on renders of this very avatar; it proves the machinery and nothing more."""

    enabled: bool = False
    """Train it, and generate with it."""
    num_renders: int = 96
    """Pictures to train on, none of them a frame of the sweep."""
    autoencoder_steps: int = 340
    """Steps of the autoencoder."""
    denoiser_steps: int = 240
    """Steps of UNet, text encoder and ControlNets."""
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """The avatar as mesh files."""

    formats: tuple[Literal["glb", "obj", "ply"], ...] = ("glb", "obj", "ply")
    frame: Literal["head", "world"] = "head"
    """Head frame (metres, +Y up, +Z front), or the world of a calibrated rig."""


@dataclasses.dataclass(frozen=True)
class EvaluateSettings:
    """What is measured."""

    geometry: bool = True
    """Compare with gt/neutral.ply of the capture where it is there."""
    alignment: Literal["none", "rigid", "similarity"] | None = None
    """How the fit is aligned to the truth first; None: none for a calibrated rig, similarity for loose pictures."""
    max_frames: int = 40
    """Frames measured, evenly chosen over the sweep."""


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """Everything that decides the result of `recon run`."""

    capture: CaptureSettings = dataclasses.field(default_factory=CaptureSettings)
    fit: FitSettings = dataclasses.field(default_factory=FitSettings)
    sweep: SweepSettings = dataclasses.field(default_factory=SweepSettings)
    render: RenderSettings = dataclasses.field(default_factory=RenderSettings)
    control: ControlStageSettings = dataclasses.field(default_factory=ControlStageSettings)
    generate: GenerateSettings = dataclasses.field(default_factory=lambda: GenerateSettings(model="", controlnets=()))
    """Diffusion; left out where no model is named."""
    train: TrainSettings = dataclasses.field(default_factory=TrainSettings)
    export: ExportSettings = dataclasses.field(default_factory=ExportSettings)
    evaluate: EvaluateSettings = dataclasses.field(default_factory=EvaluateSettings)


def settings_from_record(record: Mapping[str, Any]) -> RunSettings:
    """The settings that run.json records; what it does not name keeps its default. Raises ArtifactError for a name of no setting."""
    return _restored(RunSettings(), record, "settings")


def _restored(default: Any, record: Any, where: str) -> Any:
    """`default` with the recorded values, down to the fields of nested settings; JSON's lists are tuples again."""
    if isinstance(record, list):
        return tuple(record)
    if not dataclasses.is_dataclass(default) or isinstance(default, type):
        return record
    names = {field.name for field in dataclasses.fields(default)}
    if not isinstance(record, Mapping) or set(record) - names:
        raise ArtifactError(
            expected=f"{where} with the names {', '.join(sorted(names))}",
            got=repr(record)[:200],
            do="run `recon run` again with this version",
        )
    return dataclasses.replace(default, **{name: _restored(getattr(default, name), value, name) for name, value in record.items()})
