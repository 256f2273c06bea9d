"""Builds the program in gopair/ with the installed Go, and becomes it."""

import os
import shutil
import sys
from pathlib import Path


def main() -> None:
    if shutil.which("go") is None:
        sys.exit("go is not on the PATH")
    os.chdir(Path(__file__).with_name("gopair"))
    os.execvp("go", ["go", "run", ".", *sys.argv[1:]])


if __name__ == "__main__":
    main()
