"""``python -m distchan`` tells what is installed: version, backend, event loop."""

from importlib.util import find_spec
from pathlib import Path

import distchan

if __name__ == "__main__":
    loop = "asyncio" if find_spec("uvloop") is None else "uvloop"
    print(f"distchan {distchan.__version__}, backend {distchan.BACKEND}, event loop {loop}")
    print(f"in {Path(distchan.__file__).parent}")
