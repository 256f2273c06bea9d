"""A worker's function: found by name, and what its annotations say about items and results."""

import inspect
import types
import typing
from collections.abc import Callable
from importlib import import_module
from typing import Any

from distchan._typecheck import runtime_types

__all__ = ["Callee", "innermost", "load", "name_of", "spoken_name"]


class Callee:
    """A function that takes one item and returns one result.

    TypeError in words for anything else.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        inner = innermost(function, "worker")
        self.name = spoken_name(function)
        self.call = function
        self.is_async = inspect.iscoroutinefunction(inner)
        parameter = self._parameter(function)
        try:
            hints = (
                {} if isinstance(inner, type) else typing.get_type_hints(inner, None, None, True)
            )
            self.item_type = hints.get(parameter, Any)
            result = inner if isinstance(inner, type) else hints.get("return", Any)
            #: None: there are no results to be sent.
            self.result_type = None if result is types.NoneType else result
            runtime_types(self.item_type)
            runtime_types(self.result_type)
        except Exception as error:  # annotations are the user's expressions
            raise TypeError(
                f"the annotations of {self.name} are no types: {type(error).__name__}: {error}"
            ) from error

    def _parameter(self, function: Callable[..., Any]) -> str:
        try:
            parameters = inspect.signature(function).parameters.values()
        except ValueError:
            raise TypeError(f"nobody knows which arguments {self.name} takes") from None
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        required = [p for p in parameters if p.default is p.empty and p.kind not in variable]
        if len(required) != 1 or required[0].kind is inspect.Parameter.KEYWORD_ONLY:
            raise TypeError(
                f"a worker calls its function with one item, but {self.name} takes "
                f"{inspect.signature(function)}"
            )
        return required[0].name


def innermost(function: Callable[..., Any], caller: str) -> Any:
    """What has the annotations: functools.partial has none of its own, an object those of its
    class. TypeError for what does not return one result, in words about its caller."""
    if not callable(function):
        raise TypeError(f"a {caller} calls a function, not {function!r}")
    inner = inspect.unwrap(getattr(function, "func", function))
    if not isinstance(inner, type) and not inspect.isroutine(inner):
        inner = type(inner).__call__
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise TypeError(f"{spoken_name(function)} yields; a {caller}'s function returns one result")
    return inner


def spoken_name(function: Callable[..., Any]) -> str:
    """For the user."""
    return getattr(function, "__qualname__", None) or repr(function)


def load(name: str) -> Any:
    """What ``"package.module:function"`` names. ImportError if there is no such thing."""
    module, colon, path = name.partition(":")
    if not (module and colon and path):
        raise ImportError(f'a function is named like "package.module:function", not {name!r}')
    try:
        value: Any = import_module(module)
        for part in path.split("."):
            value = getattr(value, part)
    except Exception as error:  # the module is the user's
        raise ImportError(f"cannot import {name!r}: {type(error).__name__}: {error}") from error
    return value


def name_of(function: Callable[..., Any]) -> str:
    """By which load() finds it in another process. TypeError if it cannot."""
    module = getattr(function, "__module__", None)
    path = getattr(function, "__qualname__", None)
    name = f"{module}:{path}"
    try:
        found = load(name)
    except ImportError:
        found = None
    if found is not function:
        raise TypeError(
            f"other processes cannot import {function!r} as {name}: define it at the top of a "
            "module, or use processes=1"
        )
    return name
