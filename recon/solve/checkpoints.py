"""Finished stages of a fit on disk, so that an interrupted one goes on after the last of them and ends at the same numbers.

What a stage leaves is small (poses, weights, coefficients, offsets); what it was given (pictures, the head, its modes) is large and made
anew from the inputs. So a file holds a pickle in which everything that belongs to the inputs is a reference by its path in them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from assets.atomic import write_bytes
from assets.errors import InputError

Result = TypeVar("Result")

# Values of these kinds are compared, not shared.
_PLAIN = (str, bytes, int, float, bool, complex, type(None))
_NUMPY_MAKERS = frozenset({"_reconstruct", "scalar", "ndarray", "dtype", "_frombuffer"})


class Checkpoints:
    """A folder with the result of each finished stage of one solve.

    Args:
        folder: where they are kept; another solve's are removed at once, other files are left alone.
        inputs: everything that the stages are given; a frozen dataclass.
        settings: whatever else decides the results; compared with `inputs` by value, down to the last pixel, and with the code.

    Raises InputError where the folder cannot be written.
    """

    def __init__(self, folder: Path, inputs: Any, settings: Any) -> None:
        self.folder = folder
        self._shared = {id(value): path for path, value in _walk(inputs, "")}
        self._by_path = dict(_walk(inputs, ""))
        self._key = digest((inputs, settings, _code_digest()))
        self._number = 0
        self.num_resumed = 0
        """Stages that were taken from the folder."""
        key_file = folder / "key.txt"
        try:
            if not key_file.is_file() or key_file.read_bytes() != self._key.encode():
                self.discard()
                write_bytes(key_file, self._key.encode())
        except OSError as error:
            raise InputError(
                expected="a folder for finished stages that can be written",
                got=f"{folder}: {error.strerror or error}",
                do="give another one",
            ) from error

    def step(self, name: str, make: Callable[[], Result]) -> Result:
        """The result of the next stage: read where it is finished, else made and kept. Stages count, so a name may occur twice."""
        self._number += 1
        path = self.folder / f"{self._number:02d}-{name.replace(' ', '-')}.stage"
        found = self._read(path)
        if found is not None:
            self.num_resumed += 1
            return found
        made = make()
        buffer = io.BytesIO()
        _Pickler(buffer, self._shared).dump(made)
        write_bytes(path, buffer.getvalue())
        return made

    def finished(self) -> tuple[str, ...]:
        """Names of the stages that lie finished in the folder, in the order of the solve, up to the first that does not."""
        names: list[str] = []
        for path in sorted(self.folder.glob("*.stage")):
            number, _, name = path.stem.partition("-")
            if number != f"{len(names) + 1:02d}":
                break
            names.append(name.replace("-", " "))
        return tuple(names)

    def discard(self) -> None:
        """Remove all finished stages, and the folder where nothing else lies in it: what the user keeps there is not ours to remove."""
        for pattern in ("*.stage", "key.txt", ".key.*.part.txt"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _read(self, path: Path) -> Any:
        """What a finished stage left; None where there is none, or the file is broken or not one of ours."""
        try:
            return _Unpickler(io.BytesIO(path.read_bytes()), self._by_path).load()
        except (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError, IndexError, KeyError, TypeError, ValueError):
            return None


def step(checkpoints: Checkpoints | None, name: str, make: Callable[[], Result]) -> Result:
    """`Checkpoints.step`, or simply the stage where nothing is kept."""
    return make() if checkpoints is None else checkpoints.step(name, make)


def digest(value: Any) -> str:
    """Hash of a value by its contents: arrays with shape and kind, records field by field, mappings in the order of their names."""
    hasher = hashlib.blake2b(digest_size=20)
    for part in _bytes_of(value):
        hasher.update(part)
    return hasher.hexdigest()


def _bytes_of(value: Any) -> Iterator[bytes | memoryview]:
    if isinstance(value, np.ndarray):
        yield f"array {value.dtype.str} {value.shape} ".encode()
        yield np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield f"record {type(value).__qualname__} ".encode()
        for field in dataclasses.fields(value):
            yield f"{field.name} ".encode()
            yield from _bytes_of(getattr(value, field.name))
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)} ".encode()
        for name in sorted(value, key=repr):
            yield from _bytes_of((name, value[name]))
    elif isinstance(value, list | tuple):
        yield f"list {len(value)} ".encode()
        for item in value:
            yield from _bytes_of(item)
    elif isinstance(value, set | frozenset):
        yield from _bytes_of(sorted(value, key=repr))
    else:
        yield f"{type(value).__name__} {value!r} ".encode()


@functools.cache
def _code_digest() -> str:
    """Hash of the code that a solve runs through, this room's and those to its left: another version's stages may mean something else."""
    rooms = Path(__file__).parents[2]
    return digest([path.read_bytes() for name in ("assets", "render", "recon") for path in sorted((rooms / name).rglob("*.py"))])


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Everything that hangs on the inputs, with the path that leads there; records before their fields."""
    if isinstance(value, _PLAIN):
        return
    yield path, value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _walk(getattr(value, field.name), f"{path}.{field.name}")
    elif isinstance(value, list | tuple) and not all(isinstance(item, _PLAIN) for item in value):
        for index, item in enumerate(value):
            yield from _walk(item, f"{path}[{index}]")


class _Pickler(pickle.Pickler):
    """Writes inputs as references to their path."""

    def __init__(self, file: io.BytesIO, shared: Mapping[int, str]) -> None:
        super().__init__(file, protocol=5)
        self._shared = shared

    def persistent_id(self, obj: Any) -> str | None:
        """The path of an input; None for what the stage made. Small values are written out, since equal ones may be one object."""
        return None if isinstance(obj, _PLAIN) or (isinstance(obj, tuple) and not obj) else self._shared.get(id(obj))


class _Unpickler(pickle.Unpickler):
    """Reads references back, and builds nothing but this project's records and numpy's arrays."""

    def __init__(self, file: io.BytesIO, by_path: Mapping[str, Any]) -> None:
        super().__init__(file)
        self._by_path = by_path

    def persistent_load(self, pid: str) -> Any:
        """The input at a path."""
        return self._by_path[pid]

    def find_class(self, module: str, name: str) -> Any:
        """Records and array makers alone: a file in the user's folder must not be able to call anything else."""
        if module.split(".")[0] == "numpy" and name in _NUMPY_MAKERS:
            return super().find_class(module, name)
        if (module, name) in {("builtins", "frozenset"), ("builtins", "set")}:
            return super().find_class(module, name)
        if module.split(".")[0] in ("recon", "render", "assets"):
            found = super().find_class(module, name)
            if isinstance(found, type) and dataclasses.is_dataclass(found):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a finished stage")
