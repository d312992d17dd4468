"""Doctor tells the truth: what imports is ok, what is missing or broken is named with its loss, and the exit code follows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from studio import doctor
from studio.doctor import Finding, Package, main_path_works, package_finding


def test_a_package_that_imports_is_ok_with_its_version():
    finding = package_finding(Package("numpy", ("numpy",), "everything"))
    assert (finding.state, finding.text) == ("ok", numpy.__version__)


def test_a_package_that_is_not_installed_is_missing_with_its_loss():
    finding = package_finding(Package("no_such_module", ("no-such-distribution",), "the moon", needed=False))
    assert (finding.state, finding.lost) == ("missing", "the moon")


def test_a_package_that_is_installed_and_does_not_import_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken_module.py").write_text("raise ImportError('libGL.so.1: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    finding = package_finding(Package("broken_module", ("numpy",), "rendering"))
    assert finding.state == "broken" and "libGL.so.1" in finding.text


def test_the_main_path_works_without_what_is_optional_and_not_without_what_is_needed():
    optional, needed = Finding("a", "missing", "", needed=False), Finding("b", "broken", "", needed=True)
    assert main_path_works([optional])
    assert not main_path_works([optional, needed])


def test_a_probe_that_raises_is_a_finding():
    def head_finding() -> Finding:
        raise OSError("cache is full")

    finding = doctor.attempt(head_finding)
    assert (finding.name, finding.state, finding.needed) == ("head", "broken", True)
    assert "cache is full" in finding.text


def test_every_needed_package_is_a_dependency_of_the_project():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    declared = {line.split(";")[0].split("=")[0].split(">")[0].split("<")[0].strip() for line in project["dependencies"]}
    for package in doctor.PACKAGES:
        if package.needed:
            assert declared & set(package.distributions), package.module


def test_doctor_runs_here_and_says_that_the_main_path_works():
    done = subprocess.run([sys.executable, "-m", "studio", "doctor"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in ("mediapipe", "open3d", "anny", "cuda", "head", "embedding", "cache", "the main path works"):
        assert line in done.stdout
