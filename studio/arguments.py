"""What the parser refuses, told in the three parts of every other error, with the nearest name that the command knows."""

from __future__ import annotations

import contextlib
import difflib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from assets.errors import RangeError

_OPTION = re.compile(r"│ (--[a-z][\w.-]*)(?:[^│\n]*?, (--no-[\w.-]+|--[\w.]+\.no-[\w.-]+))?")
"""Where a page of help names an option and its negative: at the beginning of a line of a box. Its descriptions are set in further."""


@contextlib.contextmanager
def refusals(arguments: Sequence[str], names: Sequence[str], show_help: Callable[[Sequence[str]], object]) -> Iterator[None]:
    """In the block, arguments that tyro refuses raise RangeError instead of ending the process with a box of tyro's own.

    tyro has one place where it hands out what it refuses, which its makers may move. Where it is not there, or hands out something
    unknown, tyro's own box is printed, and the process ends with the same code 2.

    Args:
        arguments: as they were given.
        names: the commands.
        show_help: prints the help of arguments that end in --help, and ends the process, as tyro does.
    """
    try:
        from tyro._errors import on_parse_error
    except ImportError:
        yield
        return

    def refuse(event: Any) -> None:
        with contextlib.suppress(AttributeError, KeyError, TypeError):
            refusal = _refusal(event, _Given(arguments, names, show_help))
            if refusal is not None:
                raise refusal

    with on_parse_error(refuse):
        yield


class _Given:
    """The arguments as far as they could be understood: which command they are for, and which names that command knows."""

    def __init__(self, arguments: Sequence[str], names: Sequence[str], show_help: Callable[[Sequence[str]], object]) -> None:
        self._show_help = show_help
        first, *rest = [argument for argument in arguments if not argument.startswith("-")] or [""]
        self.path = [first] if first in names else []
        self.subcommands = [] if self.path else list(names)
        if self.path == ["assets"]:
            # The one command that has commands of its own; their names stand on its page of help.
            self.subcommands = re.findall(r"• (\w+)", self._page(["assets"]))
            self.path += [name for name in rest[:1] if name in self.subcommands]
            self.subcommands = [] if len(self.path) > 1 else self.subcommands
        self.command = " ".join(["recon", *self.path])

    def options(self) -> list[str]:
        """The names of all options of the command."""
        return [name for match in _OPTION.finditer(self._page(self.path)) for name in match.groups() if name]

    def near(self, wrong: str) -> str:
        """What to do about an option that the command does not know."""
        name, known = wrong.partition("=")[0].replace("_", "-"), self.options()
        near = difflib.get_close_matches(name, known, 1) or [option for option in known if option.endswith(f".{name.lstrip('-')}")]
        return f"try {near[0]}; " if near else ""

    def _page(self, path: Sequence[str]) -> str:
        # With the encoding in which tyro draws the boxes that _OPTION looks for.
        page = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with contextlib.redirect_stdout(page), contextlib.suppress(SystemExit):
            self._show_help([*path, "--help"])
        page.seek(0)
        return page.read()


def _refusal(event: Any, given: _Given) -> RangeError | None:
    """The error for what tyro refused; None for what this version of tyro refuses in some other way."""
    match type(event).__name__:
        case "UnrecognizedArgs":
            return _unknown(event.tokens, given)
        case "MissingArgs":
            return _missing(event, given)
        case "MissingSubcommand":
            return _no_command("no command", "", list(event.subcommand_spec.parser_from_name), given)
        case "InvalidChoice":
            return _not_a_choice(event, given)
        case "BadValue":
            count = event.argument.lowered.nargs
            return _bad(
                event.argument, f"fewer than {count} after it" if isinstance(count, int) and count > 1 else "nothing after it", given
            )
        case "InstantiationFailure" if event.argument is not None:
            return _bad(event.argument, event.message, given)
        case _:
            return None


def _unknown(tokens: Sequence[str], given: _Given) -> RangeError:
    """Options that the command does not have, or words where none have a place."""
    options = [token for token in tokens if token.startswith("-")]
    if given.subcommands:
        return _no_command(repr(tokens[0]), tokens[0], given.subcommands, given)
    if not options:
        return RangeError(
            expected=f"the arguments of `{given.command}` and no more",
            got=f"{' '.join(tokens)!r} besides",
            do=f"leave it out, or put the name of an option before it; {_help(given)}",
        )
    return RangeError(
        expected=f"options of `{given.command}`", got=" ".join(tokens), do=f"{''.join(map(given.near, options))}{_help(given)}"
    )


def _no_command(got: str, wrong: str, known: Sequence[str], given: _Given) -> RangeError:
    near = difflib.get_close_matches(wrong, known, 1)
    return RangeError(
        expected=f"a command after `{given.command}`, out of {', '.join(known)}",
        got=got,
        do=(f"try {near[0]}; " if near else "") + f"`{given.command} --help` says what each does",
    )


def _missing(event: Any, given: _Given) -> RangeError:
    """Options or arguments that have no default; what was given and is not known is often what is missing, misspelt."""
    wanted = [_spelt(found.arg) for found in event.missing_arguments]
    unknown = list(event.unrecognized_tokens)
    tries = "".join(given.near(token) for token in unknown if token.startswith("-"))
    return RangeError(
        expected=f"{' and '.join(wanted)} with `{given.command}`",
        got=f"{' '.join(unknown)}, which it does not know" if unknown else "the command without it",
        do=f"{tries}{_help(given)}" if tries else f"add {' and '.join(wanted)}; {_help(given)}",
    )


def _not_a_choice(event: Any, given: _Given) -> RangeError:
    near = difflib.get_close_matches(event.value, event.choices, 1)
    return RangeError(
        expected=f"{event.argument.display_name()} out of {', '.join(map(str, event.choices))}",
        got=repr(event.value),
        do=f"try {near[0]}" if near else _help(given),
    )


def _bad(argument: Any, got: str, given: _Given) -> RangeError:
    return RangeError(expected=_spelt(argument), got=got, do=f"correct it; {_help(given)}")


def _spelt(argument: Any) -> str:
    """An argument as it is written, such as "--out PATH"."""
    flags = () if argument.is_positional() else argument.lowered.name_or_flags
    return " ".join(str(part) for part in (*flags[:1], argument.lowered.metavar) if part)


def _help(given: _Given) -> str:
    return f"`{given.command} --help` describes them all"
