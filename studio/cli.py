"""The command line `recon`: typed settings in, stages run, three-part errors out. Heavy packages load when a command runs."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence

import tyro

from assets.errors import InputError, ReconError
from assets.licences import refuse_non_commercial
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


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns 0; 2 for what the caller can mend; 130 after Ctrl-C; other exceptions keep their traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        from studio.doctor import own_version

        sys.stdout.write(f"recon {own_version()}\n")
        return 0
    _hush_native_chatter()
    command = parse(arguments)
    try:
        if command.commercial:
            refuse_non_commercial(command.parts())
        return command(Reporter()) or 0
    except ReconError as error:
        print_error(error)
        return 2
    except OSError as error:
        if error.errno is None or error.errno not in DISK_ERRORS:
            raise
        expected, do = DISK_ERRORS[error.errno]
        print_error(InputError(expected=expected, got=str(error), do=f"{do}, and give the command again: {going_on(command)}"))
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"\ninterrupted; nothing is half-written; given again, {going_on(command)}\n")
        return 130


def going_on(command: object) -> str:
    """What the same command does after an interruption."""
    if isinstance(command, RESUMING):
        return "it goes on after the last complete stage or frame"
    return "it starts from its beginning"


def parse(arguments: Sequence[str]) -> Command | Assets:
    """The command with its settings; wrong arguments exit with code 2 and a message of tyro's."""
    options = {command.__name__.lower(): command for command in COMMANDS}
    with registry_without_none():
        return tyro.extras.subcommand_cli_from_dict(options, args=with_commercial_last(arguments), prog="recon", description=DESCRIPTION)


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
