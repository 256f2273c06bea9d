"""One payload on its way from a frame to the user."""

from collections.abc import Callable

from distchan._frames import Items, Undecodable
from distchan._framing import Decoder
from distchan.errors import DecodeError
from fuzz import wire

__all__ = ["decoded"]


def decoded(payload: bytes, decode: Callable[[bytes], object]) -> object:
    """The value, as a client gets it; or the error that says why there is none."""
    frames = Decoder(wire.SIGNATURE, 1 << 20)
    frames.expect_items(decode)
    frames.feed(wire.item(0, payload))
    frame = frames.read()
    assert frames.read() is None
    if isinstance(frame, Undecodable):
        assert type(frame.error) is DecodeError
        return frame.error
    assert isinstance(frame, Items)
    (value,) = frame.values
    return value
