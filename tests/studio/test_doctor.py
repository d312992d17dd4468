"""Doctor tells the truth: what imports is ok, what is missing or broken is named with its loss, and the exit code follows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from assets.system_libraries import SYSTEM_LIBRARIES
from studio import doctor
from studio.doctor import Finding, Package, main_path_works, package_findings, why_not_importable


def test_packages_that_import_are_ok_with_their_version_and_absent_ones_are_missing_with_their_loss():
    there, absent = Package("numpy", ("numpy",), "everything"), Package("no_such", ("no-such-distribution",), "the moon", needed=False)
    ok, missing = package_findings([there, absent])
    assert (ok.state, ok.text) == ("ok", numpy.__version__)
    assert (missing.state, missing.lost) == ("missing", "the moon")


def test_imports_are_tried_outside_this_process_and_one_that_dies_does_not_hide_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One fails, one ends the interpreter as a crash in native code does, one prints; the last is fine, and none comes in here."""
    (tmp_path / "fails_here.py").write_text("raise ImportError('libGL.so.1: cannot open')")
    (tmp_path / "dies_here.py").write_text("import os; os.abort()")
    (tmp_path / "talks_here.py").write_text("print('hello', flush=True)")
    (tmp_path / "fine_here.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    reasons = why_not_importable(["fails_here", "dies_here", "talks_here", "fine_here"])
    assert "libGL.so.1" in reasons["fails_here"]
    assert "exit code -6" in reasons["dies_here"]
    assert (reasons["talks_here"], reasons["fine_here"]) == ("", "")
    assert not set(reasons) & set(sys.modules)


def test_a_package_that_is_installed_and_does_not_import_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken_module.py").write_text("raise ImportError('libGL.so.1: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    (finding,) = package_findings([Package("broken_module", ("numpy",), "rendering")])
    assert finding.state == "broken" and "libGL.so.1" in finding.text


def test_the_set_up_script_installs_the_system_libraries_that_doctor_looks_for():
    script = (Path(__file__).parents[2] / "tools" / "setup.sh").read_text()
    pairs = re.findall(r"(lib[\w.+-]+\.so\.\d+):(lib[\w.+-]+)", script)
    assert tuple(pairs) == SYSTEM_LIBRARIES


def test_every_system_library_is_a_finding():
    assert [finding.name for finding in doctor.library_findings()] == [library for library, _ in SYSTEM_LIBRARIES]


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
