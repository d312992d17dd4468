"""From a mesh and a camera to fragments, by a backend of the registry; the only place where backends swap."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal, Protocol, get_args

import numpy as np

from assets.errors import MissingPackageError, RangeError, ShapeError
from render.buffers import Fragments
from render.camera import Camera
from render.mesh import Mesh
from render.rasterize import embree

BackendName = Literal["embree"]


class MeshView(Protocol):
    """A mesh prepared by a backend for one camera; samples it anywhere in the picture."""

    def sample(self, px: np.ndarray) -> Fragments:
        """Fragments of shape (..., ) at pixel coordinates px (..., 2)."""
        ...


@dataclasses.dataclass(frozen=True)
class Backend:
    view_mesh: Callable[[Mesh, Camera], MeshView]
    """Prepares a mesh for sampling from a camera."""
    why_not: Callable[[], str | None]
    """Reason why the backend cannot run on this machine, None where it can."""


BACKENDS: Mapping[BackendName, Backend] = {
    "embree": Backend(view_mesh=embree.EmbreeView, why_not=embree.why_not_embree),
}
"""In order of preference. Modules of backends import their package inside functions, so listing them here loads nothing."""


def choose_backend(name: str | None = None) -> Backend:
    """The named backend, or the first one that can run here; RangeError for an unknown name, MissingPackageError with reasons."""
    if name is not None and name not in BACKENDS:
        names = ", ".join(get_args(BackendName))
        raise RangeError(
            expected=f"a rasterizer backend out of: {names}", got=repr(name), do="leave it out to take the first that runs here"
        )
    reasons = []
    for candidate, backend in BACKENDS.items():
        if name in (None, candidate):
            reason = backend.why_not()
            if reason is None:
                return backend
            reasons.append(f"{candidate}: {reason}")
    raise MissingPackageError(expected="a rasterizer that can run here", got="; ".join(reasons), do=embree.HOW_TO_INSTALL)


def view_mesh(mesh: Mesh, camera: Camera, *, backend: str | None = None) -> MeshView:
    """Prepare a mesh for sampling from a camera; raises ShapeError or RangeError for a broken mesh."""
    _check_mesh(mesh)
    return choose_backend(backend).view_mesh(mesh, camera)


def rasterize(mesh: Mesh, camera: Camera, *, backend: str | None = None) -> Fragments:
    """Fragments (H, W) at the pixel centres: the nearest triangle seen from either side, with depth = camera z in metres.

    Nothing is culled and nothing is clipped but what lies behind the camera.
    """
    return view_mesh(mesh, camera, backend=backend).sample(camera.pixel_centres())


def _check_mesh(mesh: Mesh) -> None:
    for name, array, width in (("vertices", mesh.vertices, 3), ("triangles", mesh.triangles, 3), ("triangle_uvs", mesh.triangle_uvs, 3)):
        if array.ndim != 2 or array.shape[1] != width:
            raise ShapeError(expected=f"mesh.{name} of shape (n, {width})", got=f"shape {array.shape}", do="give one row an element")
    if not len(mesh.triangles) == len(mesh.triangle_uvs) == len(mesh.triangle_parts):
        got = f"{len(mesh.triangles)} triangles, {len(mesh.triangle_uvs)} triangle_uvs, {len(mesh.triangle_parts)} triangle_parts"
        raise ShapeError(expected="one row of triangle_uvs and triangle_parts a triangle", got=got, do="build them together")
    if not np.isfinite(mesh.vertices).all():
        bad = int(np.flatnonzero(~np.isfinite(mesh.vertices).all(-1))[0])
        raise RangeError(expected="finite vertices", got=f"vertex {bad} = {mesh.vertices[bad].tolist()}", do="find the nan or inf upstream")
    for name, indices, count in (("triangles", mesh.triangles, len(mesh.vertices)), ("triangle_uvs", mesh.triangle_uvs, len(mesh.uvs))):
        if len(indices) and not (indices.min() >= 0 and indices.max() < count):
            got = f"indices {indices.min()} to {indices.max()}"
            raise RangeError(expected=f"mesh.{name} within 0 to {count - 1}", got=got, do="check which array the indices belong to")
