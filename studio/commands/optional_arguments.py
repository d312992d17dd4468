"""How tyro is to read options that may be left out: `--preset {full,fast}`, where it would list None as a choice of its own."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Union, get_args

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo, UnsupportedTypeAnnotationError


def registry_without_none() -> ConstructorRegistry:
    """A registry in which `X | None` is read as X: None is what an option has that is not given, and nobody has to write it."""
    registry = ConstructorRegistry()
    registry.primitive_rule(_without_none)
    return registry


def _without_none(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | UnsupportedTypeAnnotationError | None:
    others = [kind for kind in get_args(info.type) if kind is not type(None)]
    if info.type_origin not in (Union, types.UnionType) or len(others) != 1 or len(get_args(info.type)) != 2:
        return None
    inner = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(others[0], info.markers))
    if isinstance(inner, UnsupportedTypeAnnotationError):
        return None
    return dataclasses.replace(
        inner,
        is_instance=lambda value: value is None or inner.is_instance(value),
        str_from_instance=lambda value: ["None"] if value is None else inner.str_from_instance(value),
    )
