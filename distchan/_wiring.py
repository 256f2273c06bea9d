"""What a Server and a Client have in common: options, two channels, and what binds them."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from distchan import codecs, transforms
from distchan._connection import Connection, Owner
from distchan._dealer import Dealer
from distchan._handshake import Hello
from distchan._inbox import Inbox
from distchan._session import Session
from distchan._shapes import Shape, describe
from distchan._wire import MAX_FRAME_SIZE
from distchan.channel import Channel
from distchan.codecs import Codec
from distchan.errors import ChannelInUse
from distchan.transforms import Transform

__all__ = ["ANY_PREFETCH", "ANY_PREFETCH_BYTES", "Options", "Wiring"]

S = TypeVar("S", bound=Session)

#: How many results of one client a server accepts before somebody receives them.
_RESULT_WINDOW: Final = 256
#: What a client asks for that leaves it to the server.
ANY_PREFETCH: Final = 2**32 - 1
ANY_PREFETCH_BYTES: Final = 2**62

_LOGGER: Final = logging.getLogger("distchan")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of both ends, checked. Raises TypeError or ValueError for senseless ones."""

    codec: str | Codec
    transforms: Sequence[Transform]
    signature: int
    max_frame_size: int
    prefetch: int
    prefetch_bytes: int
    handshake_timeout: float
    drain_timeout: float
    logger: logging.Logger | None = field(default=None)

    def __post_init__(self) -> None:
        for name, most in (
            ("signature", 2**32 - 1),
            ("max_frame_size", MAX_FRAME_SIZE),
            ("prefetch", ANY_PREFETCH),
            ("prefetch_bytes", ANY_PREFETCH_BYTES),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} must be an int, not {value!r}")
            least = 0 if name == "signature" else 1
            if not least <= value <= most:
                raise ValueError(f"{name} must be {least} to {most}, not {value}")
        for name in ("handshake_timeout", "drain_timeout"):
            check_seconds(name, getattr(self, name))
        for transform in self.transforms:
            for method in ("encode", "decode"):
                if not callable(getattr(transform, method, None)):
                    raise TypeError(f"a transform needs a method {method}(): {transform!r}")


def check_seconds(name: str, value: object) -> None:
    """Raise TypeError or ValueError for what is no length of time."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be a number of seconds from 0 up, not {value!r}")


class Wiring:
    """The two channels of a Server or Client, their codecs, and the ways to and from them.

    work_finished: called when the outgoing channel is closed and all of it has been dealt; perhaps
        more than once.
    relays: whether the incoming channel may be the outgoing one of another object.
    drained: called when the incoming channel is closed and all of it has been received.
    """

    def __init__(
        self,
        outgoing: Channel[Any] | None,
        incoming: Channel[Any] | None,
        options: Options,
        *,
        relays: bool,
        work_finished: Callable[[], None],
        drained: Callable[[], None],
    ) -> None:
        for name, channel in (("outgoing", outgoing), ("incoming", incoming)):
            if channel is not None and not isinstance(channel, Channel):
                raise TypeError(f"{name} must be a Channel or None, not {channel!r}")
        if outgoing is None and incoming is None:
            raise ValueError("at least one of outgoing and incoming must be a channel")
        if outgoing is incoming:
            raise ChannelInUse("outgoing and incoming must be two channels")
        self.options = options
        self.logger = options.logger or _LOGGER
        self.transforms = tuple(options.transforms)

        self.dealer: Dealer | None = None
        self.inbox: Inbox | None = None
        self._decode: Callable[[bytes], object] = _undecodable
        sends: Shape | None = None
        receives: Shape | None = None
        codec: Codec | None = None
        if outgoing is not None:
            self._out_codec = codec = codecs.resolve(options.codec, outgoing.item_type)
            sends = describe(outgoing.item_type, codec.name)
            self.dealer = Dealer(
                outgoing, self.encoder(options.max_frame_size), work_finished, self.logger
            )
        if incoming is not None:
            codec = codecs.resolve(options.codec, incoming.item_type)
            receives = describe(incoming.item_type, codec.name)
            self._decode = transforms.decoder(codec, self.transforms)
            self.inbox = Inbox(incoming, drained, relays=relays)
        assert codec is not None
        self.hello = Hello(
            codec=codec.name,
            sends=sends,
            receives=receives,
            probe=transforms.make_probe(self.transforms),
            max_frame_size=options.max_frame_size,
            prefetch=options.prefetch,
            prefetch_bytes=options.prefetch_bytes,
            result_window=_RESULT_WINDOW,
        )

    def encoder(self, max_frame_size: int) -> Callable[[Any], bytes]:
        return transforms.encoder(self._out_codec, self.transforms, max_frame_size)

    def bind(self) -> None:
        """Bind both channels, or neither. Raises ChannelInUse, ChannelClosed, EncodeError, ..."""
        if self.inbox is not None:
            self.inbox.channel._bind_inlet(self.inbox)
        try:
            if self.dealer is not None:
                self.dealer.channel._bind_outlet(self.dealer)
        except BaseException:
            if self.inbox is not None:
                self.inbox.channel._unbind_inlet()
            raise

    def unbind(self) -> None:
        """Give the channels back, as if they had never been bound."""
        if self.inbox is not None:
            self.inbox.channel._unbind_inlet()
        if self.dealer is not None:
            self.dealer.channel._unbind_outlet()

    def session(self, session_type: type[S]) -> S:
        return session_type(
            self.hello,
            signature=self.options.signature,
            transforms=self.transforms,
            decode=self._decode,
        )

    def connection(self, session_type: type[Session], owner: Owner) -> Connection:
        """A connection that is still without a transport."""
        return Connection(
            self.session(session_type),
            owner,
            handshake_timeout=self.options.handshake_timeout,
            logger=self.logger,
        )


def _undecodable(data: bytes) -> object:
    raise AssertionError("there is no incoming channel")
