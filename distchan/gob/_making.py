"""Calling a class with values that are in a list. The compiled twin needs no tuple for it."""

from collections.abc import Callable
from typing import Any

__all__ = ["make"]


def make(cls: Callable[..., Any], values: list[Any], template: list[Any]) -> Any:
    """``cls(*values)``. After that the list is what the template is, which is as long."""
    instance = cls(*values)
    values[:] = template
    return instance
