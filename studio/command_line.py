"""Arguments to a command, and its errors to three parts and an exit code. Heavy packages load when a command runs."""

from __future__ import annotations

import errno
import functools
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence

import tyro

from assets.errors import InputError, ReconError
from assets.licences import refuse_non_commercial
from studio.arguments import refusals
from studio.cli import INTERRUPTED, remembering
from studio.commands import COMMANDS, RESUMING, Assets, Command
from studio.commands import Doctor as Doctor
from studio.commands.optional_arguments import registry_without_none
from studio.console import Reporter, print_error

DESCRIPTION = (
    "3D-aware avatars of one person: fit, exact control images at any angle, diffusion frames, measured consistency. "
    "With --commercial anywhere, or RECON_COMMERCIAL=1, every command refuses parts whose licence does not allow commercial use."
)

COMMERCIAL_VARIABLE = "RECON_COMMERCIAL"
"""Set to anything but 0, false, no or nothing, it stands for --commercial; --no-commercial goes before it."""

READER_GONE = 141
"""Exit code where standard output is closed: 128 and the number of SIGPIPE."""

FROM_THE_BEGINNING = "it starts from its beginning"

_BY_NAME = {command.__name__.lower(): command for command in COMMANDS}

DISK_ERRORS: Mapping[int, tuple[str, str]] = {
    errno.ENOSPC: ("room on the disk", "free some space"),
    errno.EDQUOT: ("room within the disk quota", "free some space"),
    errno.EROFS: ("a file system that can be written", "give another output path"),
    errno.EACCES: ("a path that may be read or written", "change its permissions, or give another path"),
    errno.EPERM: ("a path that may be read or written", "change its permissions, or give another path"),
    errno.EISDIR: ("a file", "give the path of a file"),
    errno.ENOTDIR: ("a folder", "give the path of a folder"),
    errno.EIO: ("a disk that can be read and written", "check the disk, or copy the files to another one"),
}
"""What the caller can mend outside the program: what was expected, and what to do."""


def begin(arguments: Sequence[str]) -> Callable[[], int]:
    """Understand the arguments; returns what runs the command and gives its exit code. Nothing has been written before that is called.

    Wrong arguments are told here; --help ends the process with code 0.
    """
    _hush_native_chatter()
    parsed: list[Command | Assets] = []

    def understand() -> int:
        try:
            if list(arguments) == ["--version"]:
                print_version()
            else:
                parsed.append(parse(arguments))
        finally:
            # A page of help that does not fit on the disk is told like everything else.
            sys.stdout.flush()
        return 0

    code = told(understand, FROM_THE_BEGINNING)
    return functools.partial(run, parsed[0]) if parsed else lambda: code


def print_version() -> None:
    """`recon --version`."""
    from studio.doctor import own_version

    sys.stdout.write(f"recon {own_version()}\n")


def run(command: Command | Assets) -> int:
    """Run a command. Returns 0; 2 for what the caller can mend; 130 after Ctrl-C; other exceptions keep their traceback."""

    def called() -> int:
        with remembering():
            if command.commercial:
                refuse_non_commercial(command.parts())
            code = command(Reporter()) or 0
            # What does not fit on the disk is told now, and not by Python when it ends.
            sys.stdout.flush()
            return code

    try:
        return told(called, going_on(command))
    except KeyboardInterrupt:
        sys.stderr.write(f"\ninterrupted; nothing is half-written; given again, {going_on(command)}\n")
        return INTERRUPTED


def told(action: Callable[[], int], again: str) -> int:
    """The action's exit code; 2 after an error that the caller can mend, which is printed. `again`: what the same command does then."""
    try:
        return action()
    except ReconError as error:
        print_error(error)
    except BrokenPipeError:
        # Whoever read the output has gone, as in `recon inspect ... | head`: nobody is left to be told.
        return READER_GONE
    except Exception as error:
        number = disk_error(error)
        if number is None:
            raise
        expected, do = DISK_ERRORS[number]
        print_error(InputError(expected=expected, got=str(error), do=f"{do}, and give the command again: {again}"))
    return 2


def disk_error(error: Exception) -> int | None:
    """The key of DISK_ERRORS that an exception stands for, None for another one.

    Libraries written in Rust (safetensors, tokenizers) pass the system's errors on as exceptions of their own, which end alike.
    """
    found = re.search(r"\(os error (\d+)\)$", str(error))
    number = error.errno if isinstance(error, OSError) else int(found[1]) if found else None
    return number if number in DISK_ERRORS else None


def going_on(command: object) -> str:
    """What the same command does after an interruption."""
    if isinstance(command, RESUMING):
        return "it goes on after the last complete stage or frame"
    return FROM_THE_BEGINNING


def parse(arguments: Sequence[str]) -> Command | Assets:
    """The command with its settings; raises RangeError for wrong arguments. --help prints the page and ends the process with code 0."""
    ordered = with_commercial_last(arguments)
    with refusals(ordered, list(_BY_NAME), _parse):
        return _parse(ordered)


def _parse(arguments: Sequence[str]) -> Command | Assets:
    with registry_without_none():
        return tyro.extras.subcommand_cli_from_dict(_BY_NAME, args=arguments, prog="recon", description=DESCRIPTION)


def with_commercial_last(arguments: Sequence[str]) -> list[str]:
    """The arguments with --commercial behind the command that it belongs to, wherever it stood, or where the environment asks for it."""
    flags = ("--commercial", "--no-commercial")
    given = [argument for argument in arguments if argument in flags]
    others = [argument for argument in arguments if argument not in flags]
    wanted = os.environ.get(COMMERCIAL_VARIABLE, "").strip().lower() not in ("", "0", "false", "no")
    has_command = any(not argument.startswith("-") for argument in others)
    if not has_command or not (given or wanted):
        return others
    return [*others, given[-1] if given else flags[0]]


def _hush_native_chatter() -> None:
    """MediaPipe, TensorFlow Lite and the hub client write logs and bars of their own over ours; the user's own choice stands."""
    for name, value in {
        "GLOG_minloglevel": "2",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
    }.items():
        os.environ.setdefault(name, value)
