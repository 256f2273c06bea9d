"""What a program defines itself, for calls in other programs.

pickle looks for that in ``__main__``, which in a worker is another program. So such calls travel
with the name under which the caller's main module can be imported; the worker imports it as
``__mp_main__``, and puts it there, as multiprocessing does in the processes that it starts.
"""

import runpy
import sys
import threading
from functools import lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

__all__ = ["adopted", "named"]

#: How pickles begin, and no name does.
_PICKLE: Final = b"\x80"
_END_OF_NAME: Final = b"\0"

_lock = threading.Lock()
# Results may be of classes that our own main module has.
sys.modules.setdefault("__mp_main__", sys.modules["__main__"])


def named(item: bytes) -> bytes:
    """A pickled call, with the name of our main module if it seems to need that."""
    if b"__main__" not in item:
        return item
    return _prefix(sys.modules["__main__"]) + item


def adopted(item: bytes) -> memoryview:
    """The pickled call. The main module that it may need is here now, or says why not."""
    if item.startswith(_PICKLE):
        return memoryview(item)
    end = item.index(_END_OF_NAME) + 1
    prefix = item[:end]
    if prefix != _prefix(sys.modules["__main__"]):
        with _lock:
            if prefix != _prefix(sys.modules["__main__"]):
                main = _imported(prefix[:-1].decode())
                sys.modules["__main__"] = sys.modules["__mp_main__"] = main
    return memoryview(item)[end:]


@lru_cache(maxsize=2)
def _prefix(main: ModuleType) -> bytes:
    """The module's name, which is empty if it is what somebody has typed."""
    path = getattr(main, "__file__", None)
    if main.__spec__ is not None:
        name = main.__spec__.name
    else:
        name = Path(path).stem if path else ""
    return name.encode() + _END_OF_NAME


def _imported(name: str) -> ModuleType:
    main = ModuleType("__mp_main__")
    main.__spec__ = ModuleSpec(name, None)  # so that it is not tried again
    try:
        if not name or name.endswith("__main__"):  # which begins to work when it is imported
            raise ImportError("what is typed in, or in a file __main__.py, belongs into a module")
        main.__dict__.update(runpy.run_module(name, run_name="__mp_main__"))
    except (Exception, SystemExit) as error:
        problem = f"the caller's main module {name!r} cannot be imported by this worker: {error}"

        def missing(attribute: str) -> Any:
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            raise ImportError(problem)  # for pickle says nothing of an AttributeError's words

        main.__dict__["__getattr__"] = missing
    return main
