"""What the user sees while stages run: rich bars on a terminal, plain lines elsewhere, and the three-part error message."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.box import ROUNDED
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from assets.errors import ReconError

if TYPE_CHECKING:
    from rich.progress import Progress

PLAIN_WIDTH = 180
"""Columns of a table that does not go to a terminal."""

PLAIN_INTERVAL_S = 10.0
"""Without a terminal a long stage says how far it is this often."""


def _console() -> Console:
    """Standard output; lines in a file or pipe are wide, so that a table row stays one line."""
    probe = Console(highlight=False)
    return probe if probe.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


class Reporter:
    """Receives progress and results. On a terminal it draws bars; elsewhere it prints plain lines without control characters."""

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or _console()
        self.quiet = quiet
        self._bars: Progress | None = None
        self._tasks: dict[str, int] = {}
        self._stage = ""
        self._last_line = 0.0

    def say(self, text: str, *, style: str = "") -> None:
        """One line; brackets in it are text, not markup."""
        if not self.quiet:
            self.console.print(escape(text), style=style or None, soft_wrap=True)

    def say_in_stage(self, text: str) -> None:
        """One line about the stage that is going on, headed by its name."""
        self.say(f"  {self._stage}: {text}")

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Everything reported inside belongs to this stage."""
        self._stage, self._tasks, self._last_line = name, {}, time.monotonic()
        if self.quiet or not self.console.is_terminal:
            self.say(f"{name} ...")
            yield
            return
        with self._new_bars() as bars:
            self._bars = bars
            self._tasks[""] = bars.add_task(f"[bold]{name}", total=None, figures="")
            try:
                yield
            finally:
                self._bars = None

    def progress(self, text: str, done: int, total: int) -> None:
        """The callback handed to the rooms: what is being done, how many of how many."""
        if self._bars is not None:
            self._move_bar(text, done, total)
        elif time.monotonic() - self._last_line > PLAIN_INTERVAL_S:
            self._last_line = time.monotonic()
            self.say(f"  {self._stage}: {text} {done}/{total}")

    def _move_bar(self, text: str, done: int, total: int) -> None:
        bars = self._bars
        if bars is None:
            return
        # What changes from call to call (matches, residual, the terms of the loss) stands behind a colon, beside one and the same bar.
        name, _, figures = text.partition(": ")
        if name not in self._tasks:
            self._tasks[name] = bars.add_task(f"  {escape(name)}", total=total or None, figures="")
        bars.update(self._tasks[name], completed=done, total=total or None, figures=escape(figures))  # type: ignore[arg-type]

    def _new_bars(self) -> Progress:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[figures]}"),
        )  # fmt: skip
        return Progress(*columns, console=self.console, transient=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; columns whose name ends in a unit or number are aligned right by a leading '>'."""
        if self.quiet:
            return
        table = Table(title=escape(title), title_justify="left", header_style="bold", box=ROUNDED if self.console.is_terminal else None)
        for column in columns:
            table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self.console.print(table)


def print_error(error: ReconError, console: Console | None = None) -> None:
    """The three parts of an error on stderr; paths with brackets are printed as they are."""
    target = console or Console(stderr=True, highlight=False, soft_wrap=True)
    target.print(f"[bold red]error[/]  ({type(error).__name__})")
    for label, part in (("expected", error.expected), ("got", error.got), ("do", error.do)):
        target.print(f"[bold]{label:>8}:[/] {escape(part)}")
