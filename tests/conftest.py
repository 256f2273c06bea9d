"""Every ``async def`` test runs twice: on asyncio's own event loop and on uvloop."""

import signal
import sys
from typing import Any

import pytest

_UVLOOP = pytest.param(
    ("asyncio", {"use_uvloop": True}),
    id="uvloop",
    marks=pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop for Windows"),
)


@pytest.fixture(
    scope="module", params=[pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"), _UVLOOP]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The loop that anyio's pytest plugin runs a test on (``anyio_mode`` in pyproject.toml)."""
    return request.param


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_is_heeded() -> None:
    """A shell starts background jobs with SIGINT ignored, and their children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
