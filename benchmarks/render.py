"""Time of all AOVs at 512x512 on the default head, against the bare ray cast of the same pixels in the same run.

Usage: python -m benchmarks.render [--json FILE] [--repeats N] [--size PX]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from assets import HeadModel, LandmarkEmbedding, load_head
from render import DEFAULT_LIGHT, Camera, Frame, Light, Mesh, RayScene, Texture, aovs, orbit, rasterize, render_buffers, vertex_normals


@dataclasses.dataclass(frozen=True, eq=False)
class StillHead:
    """The default head at rest under a noise texture of 2048 x 2048: the dearest case for texture lookups."""

    head: HeadModel
    albedo_srgb: np.ndarray
    light: Light = DEFAULT_LIGHT

    @property
    def T_world_head(self) -> np.ndarray:
        return np.eye(4)

    @property
    def landmarks(self) -> LandmarkEmbedding:
        index = np.linspace(0, len(self.head.triangles) - 1, 478).astype(np.int32)
        return LandmarkEmbedding("mediapipe478", "none", index, np.full((478, 3), 1 / 3, np.float32), np.ones(478, np.float32))

    def pose(self, frame: Frame) -> Mesh:
        head = self.head
        return Mesh(head.vertices, head.triangles, head.uvs, head.triangle_uvs, head.triangle_parts)


def geometric_aovs(mesh: Mesh, camera: Camera) -> None:
    """Everything but colour, from the mesh on: mask, depth, distance, position, both normals, uv, part id."""
    fragments = rasterize(mesh, camera)
    both = np.column_stack([mesh.vertices, vertex_normals(mesh.vertices, mesh.triangles)])
    normal_world = aovs.unit(aovs.interpolate(fragments, both, mesh.triangles)[..., 3:])
    aovs.normal_cam(normal_world, camera)
    aovs.mask(fragments)
    aovs.distance(fragments, camera)
    aovs.uv(fragments, mesh)
    aovs.part_id(fragments, mesh)


def measure(size: int, repeats: int) -> dict[str, float | int | str]:
    """Medians in milliseconds and ratios to the bare cast."""
    posable = StillHead(load_head(), np.random.default_rng(0).integers(100, 220, (2048, 2048, 3), dtype=np.uint8))
    sweep = orbit(posable, yaw_deg=[20.0], width=size, height=size)
    frame, texture = sweep.frames[0], Texture.from_srgb(posable.albedo_srgb)
    mesh, (origins, directions) = posable.pose(frame), frame.camera.rays()
    scene, origins, directions = RayScene(mesh.vertices, mesh.triangles), origins.reshape(-1, 3), directions.reshape(-1, 3)
    bare = bare_cast(scene, origins, directions)
    steps: dict[str, Callable[[], object]] = {
        "bare_raycast_ms": bare,
        "geometric_aovs_ms": lambda: geometric_aovs(mesh, frame.camera),
        "all_with_beauty_ms": lambda: render_buffers(posable, frame, sweep.depth_range_m, texture=texture),
    }
    # Interleaved, so that a machine that slows down slows all of them.
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(repeats + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if repeat:
                times[name].append(1000 * (time.perf_counter() - start))
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "size_px": size,
        "triangles": len(mesh.triangles),
        "repeats": repeats,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        **medians,
        "geometric_aovs_over_raycast": medians["geometric_aovs_ms"] / medians["bare_raycast_ms"],
        "beauty_over_raycast": medians["all_with_beauty_ms"] / medians["bare_raycast_ms"],
    }


def bare_cast(scene: RayScene, origins: np.ndarray, directions: np.ndarray) -> Callable[[], object]:
    """A call that does nothing but Embree's cast: scene built, rays packed, results left where they are."""
    import open3d

    rays = open3d.core.Tensor(np.concatenate([origins, directions], -1).astype(np.float32))  # pyright: ignore[reportCallIssue]
    return lambda: scene._scene.cast_rays(rays)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--size", type=int, default=512)
    options = parser.parse_args()
    figures = measure(options.size, options.repeats)
    for name, value in figures.items():
        print(f"{name:30} {value:10.2f}" if isinstance(value, float) else f"{name:30} {value!s:>10}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
