"""Every ``async def`` test runs twice: on asyncio's own event loop and on uvloop."""

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
