"""The house rule: a room imports only rooms to its left, and each heavy package enters through one door, lazily."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("assets", "render", "recon", "conditioning", "studio")

DOORS: dict[str, tuple[str, ...]] = {
    "mediapipe": ("recon/face_mesh.py",),
    "open3d": ("render/rasterize/embree.py",),
    "pytorch3d": ("render/rasterize/pytorch3d.py",),
    "anny": ("assets/heads/anny.py",),
    "diffusers": ("conditioning/diffusion/",),
    "transformers": ("conditioning/diffusion/",),
    "peft": ("conditioning/diffusion/",),
    "accelerate": ("conditioning/diffusion/",),
    "controlnet_aux": ("conditioning/annotators.py",),
    "av": ("recon/video.py",),
    "trimesh": ("studio/geometry_truth.py",),
    "pillow_heif": ("recon/photo.py",),
    "tyro": ("studio/command_line.py", "studio/arguments.py", "studio/commands/", "studio/sample.py", "recon/calibrate.py"),
    "jinja2": ("studio/report.py",),
}
"""Heavy package -> files (or folders, with a slash) that may import it. A package that is not listed here has no door rule."""

PROBES = {"studio/doctor.py"}
"""Doctor reports whether each package imports, so it tries them all, each inside a function."""

LAZY = ("mediapipe", "open3d", "pytorch3d", "anny", "controlnet_aux", "av", "pillow_heif", "jinja2")
"""Imported inside functions even in their own door."""


@dataclasses.dataclass(frozen=True)
class Import:
    """One import statement's top-level package."""

    package: str
    line: int
    at_module_level: bool


def imports_of(source: str) -> list[Import]:
    """All absolute imports; those under `if TYPE_CHECKING:` do not count as module level, but keep to the order of rooms."""
    tree = ast.parse(source)
    inner = {
        id(node) for parent in ast.walk(tree) if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(parent)
    }
    typing_only = {
        id(node)
        for parent in ast.walk(tree)
        if isinstance(parent, ast.If) and "TYPE_CHECKING" in ast.dump(parent.test)
        for child in parent.body
        for node in ast.walk(child)
    }
    found = []
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        at_top = id(node) not in inner and id(node) not in typing_only
        found += [Import(name.split(".")[0], getattr(node, "lineno", 0), at_top) for name in names]
    return found


def violations(root: Path) -> list[str]:
    """Every broken rule under a tree that has the rooms as folders: 'file:line says what'."""
    broken = []
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            for item in imports_of(path.read_text(encoding="utf-8")):
                broken += [f"{name}:{item.line} {why}" for why in _why_not_allowed(name, room, item)]
    return broken


def _why_not_allowed(name: str, room: str, item: Import) -> list[str]:
    reasons = []
    if item.package in ROOMS and ROOMS.index(item.package) > ROOMS.index(room):
        reasons.append(f"{room} imports {item.package}, which is to its right")
    if item.package in ("tests", "benchmarks", "examples"):
        reasons.append(f"{room} imports {item.package}, which is no room")
    doors = DOORS.get(item.package)
    if doors and not any(name == door or (door.endswith("/") and name.startswith(door)) for door in doors) and name not in PROBES:
        reasons.append(f"{item.package} enters only through {', '.join(doors)}")
    if item.package in LAZY and item.at_module_level:
        reasons.append(f"{item.package} is imported at module level")
    if item.package == "torch" and item.at_module_level and not name.startswith("conditioning/diffusion/"):
        reasons.append("torch is imported at module level")
    return reasons


def test_every_room_imports_only_to_its_left_and_heavy_packages_through_their_door():
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("render/planted.py", "from recon.avatar import Avatar\n", "render imports recon, which is to its right"),
        ("assets/planted.py", "def f():\n    import studio.cli\n", "assets imports studio, which is to its right"),
        ("recon/planted.py", "def f():\n    import mediapipe as mp\n", "mediapipe enters only through recon/face_mesh.py"),
        ("recon/face_mesh.py", "import mediapipe\n", "mediapipe is imported at module level"),
        ("recon/solve/planted.py", "try:\n    import torch\nexcept ImportError:\n    pass\n", "torch is imported at module level"),
        ("conditioning/planted.py", "from diffusers import X\n", "diffusers enters only through conditioning/diffusion/"),
        ("render/rasterize/planted.py", "def f():\n    import open3d.core\n", "open3d enters only through render/rasterize/embree.py"),
        ("recon/planted.py", "from tests.conftest import x\n", "recon imports tests, which is no room"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, source: str, expected: str):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    found = violations(tmp_path)
    assert any(expected in line for line in found), found
    assert found[0].startswith(f"{file}:")


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("studio/fine.py", "import recon\nfrom assets.errors import ReconError\n"),
        ("render/rasterize/embree.py", "def scene():\n    import open3d\n"),
        ("conditioning/diffusion/fine.py", "import torch\nimport diffusers\n"),
        ("recon/fine.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n"),
    ],
)
def test_what_the_rule_allows_is_not_reported(tmp_path: Path, file: str, source: str):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert violations(tmp_path) == []


def stale_doors(root: Path, doors_of: dict[str, tuple[str, ...]]) -> list[str]:
    """Each 'package: door' that exists under a tree and does not use its package; accelerate is used by diffusers alone."""
    stale = []
    for package, doors in doors_of.items():
        for door in doors:
            files = [root / door] if door.endswith(".py") else sorted((root / door).rglob("*.py"))
            sources = [path.read_text(encoding="utf-8") for path in files if path.is_file()]
            # A door may also use a package's data files without importing it, by asking where it is installed.
            used = any(f'find_spec("{package}")' in text or package in {item.package for item in imports_of(text)} for text in sources)
            if sources and not used and package not in ("accelerate", "peft", "transformers"):
                stale.append(f"{package}: {door}")
    return stale


def test_every_door_that_exists_is_really_used():
    """A door that no longer imports its package is a stale line in the table."""
    assert stale_doors(ROOT, DOORS) == []


def test_one_used_door_of_a_package_does_not_hide_a_stale_one(tmp_path: Path):
    (tmp_path / "recon").mkdir()
    (tmp_path / "recon" / "video.py").write_text("def f():\n    import av\n")
    (tmp_path / "recon" / "export.py").write_text("import numpy\n")
    assert stale_doors(tmp_path, {"av": ("recon/video.py", "recon/export.py", "recon/absent.py")}) == ["av: recon/export.py"]
