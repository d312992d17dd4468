"""Doctor tells the truth: what imports is ok, what is missing or broken is named with its loss, and the exit code follows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from assets.heads import HeadEntry
from assets.system_libraries import SYSTEM_LIBRARIES
from studio import doctor
from studio.asset_tables import AssetListing, CalibrationEntry, DetectorEntry
from studio.doctor import Finding, Package, main_path_works, package_findings, why_not_importable
from studio.doctor_assets import findings_of


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
    lines = (
        "mediapipe",
        "open3d",
        "anny",
        "cuda",
        "head",
        "embedding",
        "head ict",
        "head flame:PATH",
        "detector bundled",
        "detector tasks",
    )
    for line in (*lines, "calibration anny", "cache", "the main path works"):
        assert line in done.stdout


def listing(ict: str, tasks: str, calibrations: dict[tuple[str, str], str]) -> AssetListing:
    heads = [
        HeadEntry(name, name, status, "" if status == "installed" else f"install {name}", "MIT", True, 9, 51, "why it broke")  # type: ignore[arg-type]
        for name, status in (("anny", "installed"), ("ict", ict), ("flame:PATH", "not installed"))
    ]
    detectors = [
        DetectorEntry(name, name, status, "do this", "Apache-2.0", True, "478", "a file")
        for name, status in (("bundled", "installed"), ("tasks", tasks))
    ]
    entries = [CalibrationEntry(head, detector, status, "the command") for (head, detector), status in calibrations.items()]
    return AssetListing(tuple(heads), tuple(detectors), tuple(entries))


def test_optional_heads_and_detectors_do_not_break_the_main_path_and_say_how_to_get_them():
    found = {
        f.name: f for f in findings_of(listing("not installed", "broken", {("anny", "bundled"): "shipped", ("anny", "tasks"): "missing"}))
    }
    assert found["head ict"].state == "missing" and "install ict" in found["head ict"].lost and "MIT" in found["head ict"].text
    assert found["head flame:PATH"].state == "info"
    assert found["detector tasks"].state == "broken" and "do this" in found["detector tasks"].lost
    assert found["calibration anny"].state == "ok" and "tasks" in found["calibration anny"].lost
    assert main_path_works(list(found.values()))


def test_the_default_head_without_its_calibration_does_break_the_main_path():
    found = findings_of(listing("installed", "installed", {("anny", "bundled"): "missing", ("ict", "bundled"): "missing"}))
    assert [f.name for f in found if f.needed and f.state == "missing"] == ["calibration anny"]
    assert not main_path_works(found)
