"""The two forms of a compiled module, side by side in one process."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import distchan

#: Those that can be had here. Nobody asked for the compiled ones, or no compiler made them:
#: `make test` sees to the latter.
TWINS = ["python"] if distchan.BACKEND == "python" else ["python", "cython"]


def load(twin: str, name: str) -> Any:
    """A module of the package, in Python or compiled: ``"_framing"``, ``"gob._buffers"``."""
    if twin == distchan.BACKEND:
        return importlib.import_module(f"distchan.{name}")
    alias = f"distchan.{name}_in_python"
    if alias not in sys.modules:
        source = Path(distchan.__file__).parent.joinpath(*name.split(".")).with_suffix(".py")
        spec = importlib.util.spec_from_file_location(alias, source)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[alias] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[alias])
    return sys.modules[alias]
