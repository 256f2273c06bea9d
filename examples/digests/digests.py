"""Prints the SHA-256 of each file under a directory.

python examples/digests/digests.py FOLDER                  in worker processes, one per CPU
python examples/digests/digests.py FOLDER --processes 4
python examples/digests/digests.py FOLDER --plain          without any, to compare
"""

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Iterable, Iterator

from distchan import sync


def digest(path: str) -> tuple[str, str]:
    """The path, and its content's digest or why there is none."""
    try:
        with open(path, "rb") as file:
            return path, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return path, error.strerror or str(error)


def files(folder: str) -> Iterator[str]:
    """Every file under a folder; links are not followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from files(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry.path


def main() -> None:
    parser = argparse.ArgumentParser(description="SHA-256 of each file under a directory")
    parser.add_argument("folder")
    parser.add_argument("--processes", type=int, help="default: one per CPU")
    parser.add_argument("--plain", action="store_true", help="without worker processes")
    options = parser.parse_args()
    start = time.perf_counter()
    if options.plain:
        count = show(map(digest, files(options.folder)))
    else:
        with sync.Pool(digest, options.processes) as pool:
            count = show(pool.map(files(options.folder)))
    print(f"{count} files in {time.perf_counter() - start:.2f} s", file=sys.stderr)


def show(digests: Iterable[tuple[str, str]]) -> int:
    """Print them; how many they were."""
    count = 0
    for path, text in digests:
        print(text, path)
        count += 1
    return count


if __name__ == "__main__":
    main()
