"""Chooses between the compiled modules and the same modules in Python.

What is compiled stands beside its Python source under the same name, so that an import finds the
compiled module where there is one. ``DISTCHAN_NO_EXTENSIONS``, set to anything but ``0`` and the
empty string, asks for Python. Compiled modules that are there but cannot be loaded are an error.

setup.py builds all of them or none: one tells for all, the one that needs no other.
"""

import glob
import os
import sys
from importlib import import_module
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from typing import Final, Literal

__all__ = ["BACKEND"]


def _choose() -> Literal["cython", "python"]:
    assert __package__
    if os.environ.get("DISTCHAN_NO_EXTENSIONS", "") not in ("", "0"):
        for path in sys.modules[__package__].__path__:
            folders = (path, *glob.glob(os.path.join(glob.escape(path), "*")))
            for folder in filter(os.path.isdir, folders):
                sys.path_importer_cache[folder] = FileFinder(
                    folder,
                    (SourceFileLoader, SOURCE_SUFFIXES),
                    (SourcelessFileLoader, BYTECODE_SUFFIXES),
                )
        return "python"
    file = import_module(f"{__package__}._pace").__file__ or ""
    return "cython" if file.endswith(tuple(EXTENSION_SUFFIXES)) else "python"


#: Which of the two is in use.
BACKEND: Final = _choose()
