"""The whole library twice in one process, once per backend, and a target with each.

tests/twins.py has single modules side by side. What bytes do on their way from the socket to the
user goes through many: here each backend has copies of all of them, which know nothing of those
of the other one.
"""

import importlib
import os
import pkgutil
import sys
from types import ModuleType
from typing import Final, Literal

__all__ = ["Backend", "Twin"]

Backend = Literal["python", "cython"]

_PREFIXES: Final = ("distchan.", "fuzz.targets.")
_SWITCH: Final = "DISTCHAN_NO_EXTENSIONS"


#: The modules of the library on each backend. A compiled module can be had only once.
_libraries: dict[Backend, dict[str, ModuleType]] = {}


class Twin:
    """The library on one backend, and a target that was imported with it.

    Raises ImportError if the backend is not there.
    """

    def __init__(self, backend: Backend, target: str) -> None:
        others = _take_modules()
        try:
            if backend not in _libraries:
                _libraries[backend] = _library(backend, others)
            self._modules = _libraries[backend]
            sys.modules.update(self._modules)
            self._target = importlib.import_module(f"fuzz.targets.{target}")
            self._modules |= _take_modules()
        finally:
            sys.modules.update(others)

    def seeds(self) -> list[bytes]:
        """The inputs to begin with."""
        sys.modules.update(self._modules)
        seeds: list[bytes] = self._target.seeds()
        return seeds

    def run(self, data: bytes) -> object:
        """What comes of an input, see the package's text."""
        sys.modules.update(self._modules)
        outcome: object = self._target.run(data)
        return outcome


def _library(backend: Backend, present: dict[str, ModuleType]) -> dict[str, ModuleType]:
    """All of it, since an import within a function would find that of the other backend.

    ``present`` is what has been imported otherwise. It serves if it is that backend.
    """
    serves = "distchan" in present and backend == present["distchan"].BACKEND
    if serves:
        sys.modules.update(present)
    asked = os.environ.get(_SWITCH, "")
    os.environ[_SWITCH] = "1" if backend == "python" else "0"
    try:
        distchan = importlib.import_module("distchan")
        if backend != distchan.BACKEND:
            raise ImportError(f"there is no {backend} backend here")
        for module in pkgutil.walk_packages(distchan.__path__, "distchan."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    finally:
        os.environ[_SWITCH] = asked
        # For the Python backend it was told to find no compiled modules.
        sys.path_importer_cache.clear()
        modules = _take_modules()
        if serves:  # and what has been added to it stays
            present |= modules
    return modules


def _take_modules() -> dict[str, ModuleType]:
    """The modules that each backend has of its own; an import does not find them any longer."""
    names = [name for name in sys.modules if f"{name}.".startswith(_PREFIXES)]
    return {name: sys.modules.pop(name) for name in names}
