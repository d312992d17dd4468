"""NOTICE keeps up with the project's requirements."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_required_package_stands_in_the_notice_with_a_licence():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    rows = [row.split("|") for row in (ROOT / "NOTICE").read_text().splitlines() if row.startswith("|")]
    licences = {name.strip(): row[2].strip() for row in rows for name in row[1].split(",")}
    for requirement in requirements:
        name = re.split(r"[<>=;\[ ]", requirement)[0]
        assert licences.get(name), name
