"""Chooses between the compiled twins and those in Python.

``DISTCHAN_NO_EXTENSIONS``, set to anything but ``0`` and the empty string, asks for the twins in
Python. They also stand in when the compiled ones have not been built; compiled ones that are
there but cannot be loaded are an error. Type checkers see the twins in Python.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Final, Literal

__all__ = ["BACKEND", "Decoder", "Encoder", "Ring"]

_EXTENSIONS: Final = (f"{__package__}._framing", f"{__package__}._roundrobin")


def _choose() -> Literal["cython", "python"]:
    if os.environ.get("DISTCHAN_NO_EXTENSIONS", "") not in ("", "0"):
        return "python"
    try:
        for name in _EXTENSIONS:
            import_module(name)
    except ModuleNotFoundError as error:
        # Both or neither: a half-built installation must not pass for a compiled one.
        if error.name not in _EXTENSIONS:
            raise
        return "python"
    return "cython"


#: Which twins are in use.
BACKEND: Final = _choose()

if TYPE_CHECKING or BACKEND == "python":
    from ._framing_py import Decoder, Encoder
    from ._roundrobin_py import Ring
else:
    from ._framing import Decoder, Encoder
    from ._roundrobin import Ring
