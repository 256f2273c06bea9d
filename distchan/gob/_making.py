"""Calling a class with values that are in a list. The compiled twin needs no tuple for it."""

from collections.abc import Callable
from typing import Any

__all__ = ["make"]


def make(cls: Callable[..., Any], values: list[Any]) -> Any:
    """``cls(*values)``."""
    return cls(*values)
