"""ARKit's 52 blendshape weights to and from the names of other systems, with what each way loses.

The tables, their sources and the reason of each gap are data files in assets/data. FLAME has no named shapes: its mapping is
computed for each file (assets/heads/flame_arkit.py, with its policy and gaps in assets/data/flame_arkit.toml), and
`shape_residuals` tells what it could not reproduce.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from assets.blendshapes import ARKIT_BLENDSHAPES, BlendshapeWeights, check_weights
from assets.errors import RangeError
from assets.head_model import HeadModel

_DATA_DIR = Path(__file__).parent / "data"

_TABLES = {"ict": "ict_arkit.toml", "mediapipe": "mapping_mediapipe.toml", "livelink": "mapping_livelink.toml"}

_TITLES = {"ict": "ICT-FaceKit's expressions", "mediapipe": "MediaPipe's blendshape scores", "livelink": "Live Link Face's columns"}

MAPPINGS: tuple[str, ...] = tuple(_TABLES)
"""Systems with a table of names: ICT-FaceKit's expressions, MediaPipe's 52 scores, Live Link Face's CSV columns."""


@dataclasses.dataclass(frozen=True, eq=False)
class RoundTrip:
    """Weights after there and back, and what was lost on the way."""

    weights: Mapping[str, float]
    """By the names that they came with, without those that came back as 0."""
    residuals: Mapping[str, float]
    """Names whose weight changed: the weight that went in less the one that came back."""

    @property
    def residual(self) -> float:
        """The largest magnitude among the residuals; 0 where nothing was lost."""
        return max((abs(value) for value in self.residuals.values()), default=0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class NameMapping:
    """Which shapes of another system make up each ARKit shape."""

    system: str
    """One of MAPPINGS."""
    title: str
    """The system in words."""
    native_of: Mapping[str, tuple[str, ...]]
    """ARKit name to the system's names, which together make up the ARKit shape, each at the same weight."""
    missing_native: Mapping[str, str]
    """ARKit names that the system lacks, with the reason."""
    missing_arkit: Mapping[str, str]
    """The system's names that ARKit lacks, with the reason."""

    @property
    def native_names(self) -> tuple[str, ...]:
        """All names of the system."""
        return (*(name for names in self.native_of.values() for name in names), *self.missing_arkit)

    def from_arkit(self, weights: Mapping[str, float]) -> Mapping[str, float]:
        """The system's weights for ARKit weights by name; those of `missing_native` are left out.

        Raises RangeError for an unknown ARKit name, with the nearest, or a weight that is not finite.
        """
        known = check_weights(weights)
        return MappingProxyType({native: weight for name, weight in known.items() for native in self.native_of.get(name, ())})

    def to_arkit(self, native_weights: Mapping[str, float]) -> BlendshapeWeights:
        """ARKit weights for the system's weights by name; those of `missing_arkit` are left out.

        Where several shapes make up one of ARKit, its weight is their mean, and one that is not given counts as 0. Raises
        RangeError for a name that the system does not have, with the nearest, or a weight that is not finite.
        """
        known = check_weights(native_weights, self.native_names, kind=f"one of {self.title}")
        means = {name: sum(known.get(n, 0.0) for n in natives) / len(natives) for name, natives in self.native_of.items()}
        given = {name for name, natives in self.native_of.items() if any(native in known for native in natives)}
        return BlendshapeWeights({name: mean for name, mean in means.items() if name in given})

    def round_trip(self, weights: Mapping[str, float]) -> RoundTrip:
        """ARKit weights taken to the system and back, with what is lost."""
        return _compared(check_weights(weights), self.to_arkit(self.from_arkit(weights)))

    def round_trip_native(self, native_weights: Mapping[str, float]) -> RoundTrip:
        """The system's weights taken to ARKit and back, with what is lost."""
        known = check_weights(native_weights, self.native_names, kind=f"one of {self.title}")
        return _compared(known, self.from_arkit(self.to_arkit(known)))


def shape_residuals(head: HeadModel) -> Mapping[str, float]:
    """ARKit name to what a head could not reproduce of the shape, relative to its motion: 0 where it is the head's own, 1 where absent.

    This is the mapping's report for FLAME, whose shapes are fitted to each file; ICT's and Anny's are their own.
    """
    residuals = {name: float(value) for name, value in zip(ARKIT_BLENDSHAPES, head.blendshape_residuals, strict=True)}
    return MappingProxyType({name: 1.0 if name in head.absent_blendshapes else value for name, value in residuals.items()})


def _compared(before: Mapping[str, float], after: Mapping[str, float]) -> RoundTrip:
    lost = {name: before.get(name, 0.0) - after.get(name, 0.0) for name in {**before, **after}}
    kept = {name: weight for name, weight in after.items() if weight}
    return RoundTrip(MappingProxyType(kept), MappingProxyType({name: value for name, value in lost.items() if abs(value) > 1e-12}))


@functools.cache
def mapping(system: str) -> NameMapping:
    """The table of a system's names; RangeError for a name that is not in MAPPINGS."""
    if system not in MAPPINGS:
        near = difflib.get_close_matches(system.lower(), MAPPINGS, 1, 0.6)
        raise RangeError(
            expected=f"a system with a table of names: {', '.join(MAPPINGS)}",
            got=repr(system),
            do=f"did you mean {near[0]!r}?" if near else "use one of them; FLAME's shapes are fitted: see shape_residuals",
        )
    with (_DATA_DIR / _TABLES[system]).open("rb") as file:
        content = tomllib.load(file)
    return NameMapping(
        system=system,
        title=_TITLES[system],
        native_of=MappingProxyType({name: tuple(natives) for name, natives in content["shapes"].items()}),
        missing_native=MappingProxyType(content["absent"]),
        missing_arkit=MappingProxyType(content["unused"]),
    )
