"""The public names of the rooms are an inventory in tests/data/public_names.json: adding or removing one edits that file too."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

INVENTORY: dict[str, list[str]] = json.loads((Path(__file__).parent / "data" / "public_names.json").read_text())

SIX_LINES = {
    "recon": ("load_capture", "fit", "save_avatar", "load_avatar", "export_mesh"),
    "render": (
        "render_sweep",
        "orbit",
        "head_turn",
        "expression_ramp",
        "concatenate",
        "resized",
        "save_sweep",
        "load_sweep",
        "save_buffers",
    ),
    "conditioning": ("encode", "generate", "GenerateSettings", "ControlSettings"),
    "assets": ("load_head", "load_embedding"),
}
"""Names that the README's script and the examples stand on."""


def public_names(room: str) -> list[str]:
    """Names without underscore that are no modules, with those that are loaded when first asked for."""
    module = importlib.import_module(room)
    names = {name for name, value in vars(module).items() if not name.startswith("_") and not isinstance(value, types.ModuleType)}
    return sorted((names | set(getattr(module, "_LAZY", ()))) - {"annotations", "TYPE_CHECKING"})


@pytest.mark.parametrize("room", ["assets", "render", "recon", "conditioning", "studio"])
def test_the_public_names_of_a_room_are_those_of_the_inventory(room: str):
    assert public_names(room) == INVENTORY[room], "edit tests/data/public_names.json in the same change, and the changelog"


@pytest.mark.parametrize("room", sorted(SIX_LINES))
def test_the_names_of_the_six_lines_are_there_and_callable(room: str):
    for name in SIX_LINES[room]:
        assert name in INVENTORY[room]
        assert callable(getattr(importlib.import_module(room), name)), name


@pytest.mark.parametrize("room", ["assets", "render", "recon", "conditioning"])
def test_every_public_function_and_class_has_a_docstring(room: str):
    module = importlib.import_module(room)
    bare = [name for name in INVENTORY[room] if isinstance(value := getattr(module, name), type | types.FunctionType) and not value.__doc__]
    assert bare == []


def test_importing_all_rooms_loads_no_heavy_package():
    heavy = ("torch", "open3d", "mediapipe", "diffusers", "transformers", "anny", "av", "trimesh", "tyro", "jinja2")
    code = f"import sys, assets, render, recon, conditioning, studio; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
