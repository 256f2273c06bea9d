"""Prints how much of the library a corpus reaches: ``python -m fuzz.covered TARGET CORPUS``.

The lines and branches of the modules that the target is about, on the Python backend. Needs the
``coverage`` package.
"""

import sys
from pathlib import Path
from typing import get_args

import coverage

from fuzz.targets import TARGETS
from fuzz.twins import Backend, Twin


def main(target: str, corpus: Path) -> None:
    paths = [f"distchan/{module.replace('.', '/')}" for module in TARGETS[target]]
    measured = coverage.Coverage(
        data_file=None,
        config_file=False,
        branch=True,
        include=[pattern for path in paths for pattern in (f"{path}.py", f"{path}/*.py")],
    )
    with measured.collect():
        twin = Twin("python", target)
        for backend in get_args(Backend):
            for file in (corpus / f"{target}-{backend}").glob("*"):
                twin.run(file.read_bytes())
    measured.report(show_missing=True, skip_empty=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
