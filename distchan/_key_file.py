"""Where the command line finds a shared key: never among its arguments, which everybody can see."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["find_key"]

_VARIABLE: Final = "DISTCHAN_AUTHKEY"


def find_key(path: Path | None, environment: Mapping[str, str]) -> bytes | None:
    """The key in the file or, without one, in the environment; None if there is neither.

    The whitespace at its end, such as a newline, is no part of it. Raises OSError, and
    PermissionError if others than the owner can read the file.
    """
    if path is None:
        text = environment.get(_VARIABLE)
        return None if text is None else os.fsencode(text).rstrip()
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if os.name == "posix" and mode & 0o077:
            raise PermissionError(
                f"{path} has mode {mode:04o}, so that others can read the key: chmod 600 {path}"
            )
        return file.read().rstrip()
