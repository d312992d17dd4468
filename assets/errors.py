"""Errors that a caller can cause, each with the same three parts: what was expected, what came, what to do."""

from __future__ import annotations


class ReconError(Exception):
    """Base of all errors that recon raises on purpose; the command line prints them and exits with code 2.

    Args:
        expected: what the caller should have given, as a full clause ("a folder with JPEG, PNG or HEIC photos").
        got: what came, with value, shape or path.
        do: the next step for the user.
    """

    def __init__(self, *, expected: str, got: str, do: str) -> None:
        self.expected, self.got, self.do = expected, got, do
        super().__init__(f"expected: {expected}\n     got: {got}\n      do: {do}")


class ShapeError(ReconError):
    """An array has the wrong shape or dtype."""


class RangeError(ReconError):
    """A number, name or list length lies outside what is allowed."""


class ConventionError(ReconError):
    """Something is in another convention (axes, colour order, encoding) than it says."""


class MissingPackageError(ReconError):
    """An optional package or system library is not there."""


class MissingAssetError(ReconError):
    """A model file, head or detector file is not there."""


class InputError(ReconError):
    """A file, folder or video given by the user cannot be used."""


class DetectionError(ReconError):
    """No usable face anywhere in a capture."""


class DegenerateGeometryError(ReconError):
    """The views do not determine what was asked for."""


class ArtifactError(ReconError):
    """A named artefact of an earlier stage is absent, broken, or of another schema version."""


class LicenceError(ReconError):
    """A part does not allow the use that was asked for."""
