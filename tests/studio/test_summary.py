"""What is printed of an avatar: millimetres only where they are known; and what the demo says of its time."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

import recon
from recon.avatar import Avatar
from recon.storage import load_avatar, save_avatar
from recon.uncertainty import Uncertainty
from studio.commands import Demo
from studio.console import Reporter
from studio.demo import EXPECTED_TIME
from studio.summary import eye_distance_mm, print_avatar, print_uncertainty
from tests.recon.toy_head import toy_avatar, toy_head

HEAD = toy_head(24, 32)


def avatar_of_scale(scale: str) -> Avatar:
    spread = Uncertainty(np.full(HEAD.num_vertices, 0.5, np.float32), {"nose": 0.5, "neck": 4.0})
    return toy_avatar(HEAD, scale=scale, uncertainty=spread)


def rows(printed: str) -> dict[str, list[str]]:
    """Words of each line behind its first."""
    return {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.strip()}


def test_a_relative_fit_is_told_in_shares_of_the_eyes_distance_and_in_millimetres_of_a_stated_person(tmp_path: Path, monkeypatch, capsys):
    avatar = avatar_of_scale("relative")
    eyes_mm = eye_distance_mm(avatar)
    left, right = avatar.eye_centres
    assert eyes_mm == pytest.approx(1000 * np.linalg.norm(left - right)) and eyes_mm != pytest.approx(63.0, rel=0.01)
    save_avatar(tmp_path / "avatar", avatar)
    monkeypatch.setattr(recon, "load_avatar", functools.partial(load_avatar, head=HEAD))
    print_uncertainty(tmp_path, Reporter())
    printed = capsys.readouterr().out
    assert "the scale is relative" in printed and "% of eye distance" in printed and "mm if that is 63 mm" in printed
    for name, sd_mm in (("nose", 0.5), ("neck", 4.0)):
        share, at_63 = map(float, rows(printed)[name])
        assert share == pytest.approx(100 * sd_mm / eyes_mm, abs=0.006) and at_63 == pytest.approx(63 * sd_mm / eyes_mm, abs=0.06)


def test_a_metric_fit_is_told_in_its_millimetres(tmp_path: Path, capsys):
    save_avatar(tmp_path / "avatar", avatar_of_scale("metric"))
    print_uncertainty(tmp_path, Reporter())
    printed = capsys.readouterr().out
    assert rows(printed)["nose"] == ["0.50"] and rows(printed)["neck"] == ["4.0"]
    assert "relative" not in printed and "%" not in printed


@pytest.mark.parametrize(("scale", "begins"), [("metric", "{:.1f} mm"), ("relative", "unknown: the scale is relative. Exported")])
def test_the_eyes_distance_is_a_fact_only_where_the_scale_is_metric(scale: str, begins: str, capsys):
    avatar = avatar_of_scale(scale)
    print_avatar(avatar, Reporter())
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "between the eyes" in line]
    value = line.split("between the eyes")[1].strip()
    assert value.startswith(begins.format(eye_distance_mm(avatar)))
    assert ("--ipd-mm" in value) == (scale == "relative")


def test_the_demo_says_first_how_long_it_takes_in_the_readmes_own_figure(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr("studio.summary.run_and_summarise", lambda *given, **named: print("work"))
    Demo(out=tmp_path)(Reporter())
    first, second = capsys.readouterr().out.splitlines()
    assert f"about {EXPECTED_TIME}" in first and second == "work"
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert [line for line in readme.splitlines() if line.startswith("make demo ") and line.endswith(f": {EXPECTED_TIME}")]
