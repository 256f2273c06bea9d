"""What a Server and a Client have in common: options, two channels, codecs, how they are bound."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeVar

import msgspec

from distchan import codecs
from distchan._authentication import Key
from distchan._handshake import AUTO_PREFETCH, MOST_PREFETCH, Hello
from distchan._payloads import PayloadEncoder, decoder, make_probe
from distchan._ports import Inlet, Outlet
from distchan._session import Session
from distchan._shapes import Shape, describe
from distchan._wire import MAX_FRAME_SIZE
from distchan.channel import Channel
from distchan.codecs import Codec
from distchan.errors import ChannelInUse
from distchan.transforms import Transform

__all__ = [
    "ANY_PREFETCH_BYTES",
    "CommonOptions",
    "Ends",
    "Options",
    "Wiring",
    "check_choice",
    "check_count",
    "check_seconds",
    "default",
]

S = TypeVar("S", bound=Session)

#: How many results of one client a server accepts before somebody receives them.
RESULT_WINDOW: Final = 4096
#: What a client asks for that leaves it to the server.
ANY_PREFETCH_BYTES: Final = 2**62

_LOGGER: Final = logging.getLogger("distchan")


class CommonOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options that every wire has. Raises TypeError or ValueError for senseless ones."""

    codec: str | Codec
    transforms: Sequence[Transform]
    signature: int
    max_frame_size: int
    heartbeat: float
    drain_timeout: float
    logger: logging.Logger | None = None

    def __post_init__(self) -> None:
        check_count("signature", self.signature, 0, 2**32 - 1)
        check_count("max_frame_size", self.max_frame_size, 1, MAX_FRAME_SIZE)
        check_seconds("heartbeat", self.heartbeat, least=0.1)
        check_seconds("drain_timeout", self.drain_timeout)
        for transform in self.transforms:
            for method in ("encode", "decode"):
                if not callable(getattr(transform, method, None)):
                    raise TypeError(f"a transform needs a method {method}(): {transform!r}")


class Options(CommonOptions, frozen=True, kw_only=True):
    """The same and those of the native wire."""

    delivery: Literal["at-least-once", "at-most-once"]
    prefetch: int | Literal["auto"]
    prefetch_bytes: int
    handshake_timeout: float
    authkey: Key | None = None

    def __post_init__(self) -> None:
        CommonOptions.__post_init__(self)
        check_choice("delivery", self.delivery, ("at-least-once", "at-most-once"))
        if self.prefetch != "auto":
            check_count("prefetch", self.prefetch, 1, MOST_PREFETCH, "'auto' or ")
        check_count("prefetch_bytes", self.prefetch_bytes, 1, ANY_PREFETCH_BYTES)
        check_seconds("handshake_timeout", self.handshake_timeout)


V = TypeVar("V")


def default(value: V | None, otherwise: V) -> V:
    """The value of an option; what it is on this wire if none was given."""
    return otherwise if value is None else value


def check_count(name: str, value: object, least: int, most: int, others: str = "") -> None:
    """Raise TypeError or ValueError for what is no whole number in that range."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be {others}an int, not {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be {others}{least} to {most}, not {value}")


def check_seconds(name: str, value: object, *, least: float = 0) -> None:
    """Raise TypeError or ValueError for what is no length of time."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not least <= value < float("inf"):
        raise ValueError(f"{name} must be a number of seconds from {least:g} up, not {value!r}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}")


class Ends:
    """The two channels of a Server or Client, and how they are bound."""

    def __init__(
        self,
        outgoing: Channel[Any] | None,
        incoming: Channel[Any] | None,
        options: CommonOptions,
    ) -> None:
        for name, channel in (("outgoing", outgoing), ("incoming", incoming)):
            if channel is not None and not isinstance(channel, Channel):
                raise TypeError(f"{name} must be a Channel or None, not {channel!r}")
        if outgoing is None and incoming is None:
            raise ValueError("at least one of outgoing and incoming must be a channel")
        if outgoing is incoming:
            raise ChannelInUse("outgoing and incoming must be two channels")
        self.outgoing = outgoing
        self.incoming = incoming
        self.logger = options.logger or _LOGGER
        self.transforms = tuple(options.transforms)

    def bind(self, outlet: Outlet | None, inlet: Inlet | None) -> None:
        """Bind both channels, or neither. Raises ChannelInUse, ChannelClosed, EncodeError, ..."""
        if self.incoming is not None and inlet is not None:
            self.incoming._bind_inlet(inlet)
        try:
            if self.outgoing is not None and outlet is not None:
                self.outgoing._bind_outlet(outlet)
        except BaseException:
            if self.incoming is not None:
                self.incoming._unbind_inlet()
            raise

    def unbind(self) -> None:
        """Give the channels back, as if they had never been bound."""
        if self.incoming is not None:
            self.incoming._unbind_inlet()
        if self.outgoing is not None:
            self.outgoing._unbind_outlet()


class Wiring(Ends):
    """Two channels, their codecs and their sessions on the native wire."""

    def __init__(
        self, outgoing: Channel[Any] | None, incoming: Channel[Any] | None, options: Options
    ) -> None:
        super().__init__(outgoing, incoming, options)
        self.options = options
        self._decode: Callable[[bytes], object] = _unexpected
        sends: Shape | None = None
        receives: Shape | None = None
        codec: Codec | None = None
        if outgoing is not None:
            self._out_codec = codec = codecs.resolve(options.codec, outgoing.item_type)
            sends = describe(outgoing.item_type, codec.name)
        if incoming is not None:
            codec = codecs.resolve(options.codec, incoming.item_type)
            receives = describe(incoming.item_type, codec.name)
            self._decode = decoder(codec.decode, self.transforms)
        assert codec is not None
        self.hello = Hello(
            codec=codec.name,
            sends=sends,
            receives=receives,
            probe=make_probe(self.transforms),
            max_frame_size=options.max_frame_size,
            prefetch=AUTO_PREFETCH if options.prefetch == "auto" else options.prefetch,
            prefetch_bytes=options.prefetch_bytes,
            result_window=RESULT_WINDOW,
            keeps=options.delivery == "at-least-once",
        )

    def encoder(self, max_frame_size: int) -> PayloadEncoder:
        """What makes the payload of an item of the outgoing channel."""
        return PayloadEncoder(self._out_codec, self.transforms, max_frame_size)

    def decode_outgoing(self, payload: bytes) -> Any:
        """What that payload was made from; itself, if it does not decode."""
        try:
            return decoder(self._out_codec.decode, self.transforms)(payload)
        except Exception:  # whatever a codec may raise
            return payload

    def session(self, session_type: Callable[..., S], **more: Any) -> S:
        """A session of one of the two ends."""
        return session_type(
            self.hello,
            signature=self.options.signature,
            transforms=self.transforms,
            decode=self._decode,
            authkey=self.options.authkey,
            **more,
        )


def _unexpected(data: bytes) -> object:
    raise AssertionError("there is no incoming channel")
