"""Wrong arguments: the same three parts as every other error, with the nearest name; pages of help as they were."""

from __future__ import annotations

import subprocess
import sys

import pytest

from studio import cli, command_line
from studio.arguments import _Given


@pytest.mark.parametrize(
    ("arguments", "expected", "got", "do"),
    [
        ("", "a command after `recon`, out of run, check, fit,", "no command", "`recon --help`"),
        ("fti x", "a command after `recon`, out of run, check, fit,", "'fti'", "try fit; "),
        ("assets isntall", "a command after `recon assets`, out of list, show, install, calibrate", "'isntall'", "try install; "),
        ("assets", "a command after `recon assets`, out of list, show, install, calibrate", "no command", "`recon assets --help`"),
        ("run x", "--out PATH with `recon run`", "the command without it", "add --out PATH; "),
        ("run x --oot y", "--out PATH with `recon run`", "--oot y, which it does not know", "try --out; "),
        ("run x --out", "--out PATH", "nothing after it", "correct it; "),
        ("inspect", "PATH with `recon inspect`", "the command without it", "add PATH; "),
        ("run x --out y --presett fast", "options of `recon run`", "--presett fast", "try --preset; "),
        ("run x --out y --fit.presett fast", "options of `recon run`", "--fit.presett fast", "try --fit.preset; "),
        ("run x --out y --cameras_unt mm", "options of `recon run`", "--cameras_unt mm", "try --cameras-unit; "),
        ("run x --out y --fit.no-textur", "options of `recon run`", "--fit.no-textur", "try --fit.no-texture; "),
        ("run x --out y --detector tasks", "options of `recon run`", "--detector tasks", "try --fit.detector; "),
        ("check x --commercail", "options of `recon check`", "--commercail", "try --commercial; "),
        ("run x --out y --qqqqqq 1", "options of `recon run`", "--qqqqqq 1", "`recon run --help`"),
        ("export a b --out c.glb", "the arguments of `recon export` and no more", "'b' besides", "leave it out"),
        ("run x --out y --force fitt", "--force out of capture, fit, sweep,", "'fitt'", "try fit"),
        ("run x --out y --ipd-mm broad", "--ipd-mm FLOAT", "could not convert string to float: 'broad'", "correct it"),
        ("fit x --out y --distance a b", "--distance A B MM", "fewer than 3 after it", "correct it"),
    ],
)
def test_wrong_arguments_are_told_in_three_parts_with_the_nearest_name(arguments: str, expected: str, got: str, do: str, capsys):
    assert cli.main(arguments.split()) == 2
    printed = capsys.readouterr()
    head, *parts = printed.err.splitlines()
    assert head == "error  (RangeError)" and printed.out == ""
    assert [part[:10] for part in parts] == ["expected: ", "     got: ", "      do: "]
    told = [part[10:] for part in parts]
    assert told[0].startswith(expected) and told[1] == got and told[2].startswith(do)


def test_every_option_of_a_command_is_known_by_its_page_of_help():
    known = _Given(["fit", "x"], list(command_line._BY_NAME), command_line._parse).options()
    assert {"--out", "--commercial", "--no-commercial", "--fit.texture", "--fit.no-texture", "--distance", "--no-resume"} <= set(known)
    assert "--model" not in known and len(known) == len(set(known))


def test_where_the_parser_hands_out_nothing_its_own_message_and_code_stay(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tyro._errors", None)
    with pytest.raises(SystemExit) as stopped:
        command_line.parse(["fit", "x", "--out", "y", "--presett", "fast"])
    assert stopped.value.code == 2 and "--presett" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["assets", "install", "--help"]])
def test_help_is_a_page_on_standard_output_and_no_error(arguments: list[str], capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    printed = capsys.readouterr()
    assert stopped.value.code == 0 and printed.err == ""
    assert printed.out.startswith(" ".join(["usage: recon", *arguments[:-1], "[-h]"]))


def test_a_process_with_wrong_arguments_ends_with_2_and_no_box():
    done = subprocess.run([sys.executable, "-m", "studio", "doctor", "--jsno"], capture_output=True, text=True)
    assert done.returncode == 2 and "     got: --jsno\n" in done.stderr and "─" not in done.stderr and not done.stdout
