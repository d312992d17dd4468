"""Ctrl-C while the packages load, and a disk that is full: one line or one error, the code, and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from studio import cli, command_line
from studio.console import Reporter

WAITING = """
import sys, time
class Wait:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            print("here", flush=True)
            time.sleep(30)
sys.meta_path.insert(0, Wait())
sys.argv = ["recon", "doctor"]
from studio.cli import main
sys.exit(main())
"""
"""The command, which stops where it begins to import a package and says so."""


def with_full_output(*arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a Python process whose standard output goes to a full disk."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, env=env)
    return done.returncode, done.stderr


def interrupted_at(script: str) -> tuple[int, str]:
    """Exit code and stderr of a Python process that got SIGINT once it had printed a line."""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    return process.returncode, errors


@pytest.mark.parametrize("name", ["studio.command_line", "tyro", "numpy", "rich.console"])
def test_ctrl_c_while_the_packages_load_is_one_line_and_130(name: str):
    assert interrupted_at(WAITING.format(name=name)) == (130, f"\n{cli.BEFORE}\n")


def test_ctrl_c_while_python_winds_up_is_one_line_and_130():
    script = "import sys, time; from studio import cli\nsys.argv = ['recon', '--version']; sys.stdout = open('/dev/null', 'w')\n"
    script += "code = cli.main(); sys.stdout = sys.__stdout__; print('here', flush=True); time.sleep(30)"
    assert interrupted_at(script) == (130, f"\n{cli.AFTER}\n")


def test_ctrl_c_that_a_package_turns_into_an_error_of_its_own_is_still_ctrl_c(monkeypatch, capsys):
    """As OpenCV does while it loads numpy."""

    def loading(self: command_line.Doctor, reporter: Reporter) -> int:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ImportError("numpy.core.multiarray failed to import") from error
        raise AssertionError("Ctrl-C was not heard")

    monkeypatch.setattr(command_line.Doctor, "__call__", loading)
    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr().err.splitlines() == ["", "interrupted; nothing is half-written; given again, it starts from its beginning"]


def test_a_caller_in_the_same_process_gets_its_own_ctrl_c_back(monkeypatch):
    monkeypatch.setattr(command_line.Doctor, "__call__", lambda self, reporter: 0)
    before = signal.getsignal(signal.SIGINT)
    assert before is signal.default_int_handler
    assert cli.main(["doctor"]) == 0 and signal.getsignal(signal.SIGINT) is before
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for answer in (cli.leaving_quietly("never"), cli.remembering()):
            with answer:
                assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN, "what runs in the background ignores Ctrl-C, and goes on to"
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_entry_imports_nothing_that_takes_time():
    code = "import sys; before = set(sys.modules); import studio.cli; print(len(set(sys.modules) - before), 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": os.getcwd()})
    count, has_numpy = done.stdout.split()
    assert int(count) < 25 and has_numpy == "False"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [["--version"], ["doctor", "--help"]])
def test_output_that_finds_no_room_is_told_once_without_a_traceback(arguments: list[str]):
    """Buffered, as it is for people: Python would try again when it ends and print what it met, with a code of its own."""
    code, errors = with_full_output("-m", "studio", *arguments)
    assert code == 2 and [line[:9] for line in errors.splitlines()] == ["error  (I", "expected:", "     got:", "      do:"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_what_is_left_to_print_after_an_error_is_dropped_where_no_room_is_left():
    """The command says something, then fails: the line is still in the buffer when Python ends."""
    script = "import sys; from studio import cli, command_line\n"
    script += "command_line.Doctor.__call__ = lambda self, reporter: sys.stdout.write('fit: done') and 1 // (sys.stdout.flush() or 1)\n"
    script += "sys.argv = ['recon', 'doctor']; sys.exit(cli.main())"
    code, errors = with_full_output("-c", script)
    assert code == 2 and errors.count("No space left") == 1 and "Exception ignored" not in errors


def test_a_full_disk_is_told_also_where_a_library_has_an_exception_of_its_own_for_it(monkeypatch, capsys):
    """In the words of safetensors, which diffusers lets through."""

    def failing(self: command_line.Doctor, reporter: Reporter) -> int:
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(command_line.Doctor, "__call__", failing)
    assert cli.main(["doctor"]) == 2
    message = capsys.readouterr().err
    assert "expected: room on the disk" in message and "free some space" in message
    assert command_line.disk_error(RuntimeError("no such tensor (os error 2)")) is None


def test_a_reader_that_has_gone_leaves_no_traceback():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-m", "studio", "fit", "--help"], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
