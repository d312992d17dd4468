"""Two commands never write into one output folder at once, and a killed one stops nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from assets.errors import InputError
from studio.pipeline import run_pipeline
from studio.run_lock import LOCK_NAME, writing_into
from tests.studio.conftest import SMALL

HOLD = """
import sys, time
from pathlib import Path
from studio.run_lock import writing_into
with writing_into(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the folder's lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_folder_that_another_process_writes_into_is_refused_with_its_number(holder, tmp_path: Path, three_photos: Path):
    with pytest.raises(InputError) as refusal:
        run_pipeline(three_photos, tmp_path, SMALL)
    assert f"process {holder.pid}" in refusal.value.got and "--out" in refusal.value.do
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_NAME], "nothing was written"


def test_a_killed_run_stops_nobody(holder, tmp_path: Path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK_NAME).read_text() == f"{holder.pid}\n"
    with writing_into(tmp_path):
        assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    assert list(tmp_path.iterdir()) == []


def test_the_lock_is_held_within_one_process_too_and_goes_with_an_error(tmp_path: Path):
    def failing() -> None:
        with writing_into(tmp_path):
            with pytest.raises(InputError, match=str(os.getpid())), writing_into(tmp_path):
                pass
            assert (tmp_path / LOCK_NAME).exists(), "the refused one takes nothing away"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert list(tmp_path.iterdir()) == []
