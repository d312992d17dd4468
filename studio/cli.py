"""The command `recon`. Nothing is imported at the top that takes time, so that Ctrl-C has its answer before the packages load."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of the signal."""

BEFORE = "interrupted before anything was begun"
AFTER = "interrupted after the command had ended"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns 0; 2 for what the caller can mend; 130 after Ctrl-C; other exceptions keep their traceback.

    Without `argv` the process is this command's own: its arguments are taken, and Ctrl-C while Python winds up is quiet too.
    """
    try:
        with leaving_quietly(BEFORE):
            from studio.command_line import begin

            command = begin(list(sys.argv[1:] if argv is None else argv))
        return command()
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{BEFORE}\n")
        return INTERRUPTED
    finally:
        if argv is None:
            _wind_up()


@contextlib.contextmanager
def leaving_quietly(line: str) -> Iterator[None]:
    """While it lasts, Ctrl-C ends the process at once with a line on stderr and code 130.

    Meant for times in which nothing is written: an exception out of the middle of an import would be reported, turned into another one or
    swallowed by whatever is importing. A caller that ignores Ctrl-C, or has its own answer to it, keeps that.
    """
    if not _is_ours():
        yield
        return
    before = signal.signal(signal.SIGINT, _leave_with(line))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def remembering() -> Iterator[None]:
    """While it lasts, an exception that follows upon Ctrl-C counts as Ctrl-C.

    Packages that load others from C (OpenCV, MediaPipe, torch) turn a KeyboardInterrupt in the middle of that into an ImportError.
    """
    if not _is_ours():
        yield
        return
    seen: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield
    except Exception as error:
        if seen:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def _is_ours() -> bool:
    """Whether Ctrl-C would raise KeyboardInterrupt here; elsewhere than in the main thread no answer can be set."""
    import threading

    return threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _leave_with(line: str) -> Callable[[int, FrameType | None], None]:
    def leave(number: int, frame: FrameType | None) -> None:
        # Past all clean-up: there is nothing to clean, and Python's own end would still print the exceptions of half-loaded modules.
        os.write(2, f"\n{line}\n".encode())
        os._exit(INTERRUPTED)

    return leave


def _wind_up() -> None:
    """What was printed goes out, and what no disk or reader takes is dropped; from here on Ctrl-C finds only Python's own end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # Python would try once more when it ends, and print a traceback about it behind the error that was told.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if _is_ours():
        signal.signal(signal.SIGINT, _leave_with(AFTER))
