"""Numbers of things in words, and cores that may be used."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from assets.cores import num_cores
from assets.counting import how_many


def test_one_thing_is_singular_and_others_are_plural():
    assert [how_many(number, "picture") for number in (0, 1, 2)] == ["0 pictures", "1 picture", "2 pictures"]
    assert how_many(1, "picture has", "pictures have") == "1 picture has"
    assert how_many(3, "picture has", "pictures have") == "3 pictures have"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_cores_that_a_process_may_not_run_on_are_not_counted():
    one = next(iter(os.sched_getaffinity(0)))
    code = f"import os; os.sched_setaffinity(0, [{one}]); from assets.cores import num_cores; print(num_cores())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "1"
    assert num_cores() == len(os.sched_getaffinity(0))


def test_where_a_system_knows_no_affinity_the_machines_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert num_cores() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert num_cores() == 1
