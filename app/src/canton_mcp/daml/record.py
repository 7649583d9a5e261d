"""Values that the type checker keeps from being changed, made as quickly as Python makes an object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, dataclass_transform, overload

__all__ = ["record"]

_Class = TypeVar("_Class")


@overload
def record(cls: type[_Class], /) -> type[_Class]: ...
@overload
def record(*, eq: bool) -> Callable[[type[_Class]], type[_Class]]: ...
@dataclass_transform(frozen_default=True)
def record(cls: type[_Class] | None = None, /, *, eq: bool = True) -> object:
    """A dataclass with slots. A frozen one would set each field by a call: reading a text would take a fifth longer."""
    make = dataclass(slots=True, eq=eq, unsafe_hash=eq)
    return make if cls is None else make(cls)
