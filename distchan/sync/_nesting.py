"""Calls within calls."""

__all__ = ["nested_call"]


def nested_call() -> RuntimeError:
    """To be raised where a thread would wait for itself."""
    return RuntimeError(
        "a blocking call within another: what is called in the midst of one (an encoder, a decoder,"
        " a callback of a future from submit()) cannot use distchan.sync"
    )
