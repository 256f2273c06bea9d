"""What a Server and a Client on the Go original's wire have in common: channels and codecs."""

from collections.abc import Callable
from typing import Any

from distchan import codecs
from distchan._go.payloads import GobWriter
from distchan._go.session import GoSession
from distchan._payloads import PayloadEncoder, decoder
from distchan._wiring import CommonOptions, Ends
from distchan.channel import Channel

__all__ = ["GoWiring", "refuse_native_options"]

_WHY = {
    "delivery": 'delivery is "at-most-once", as nothing is ever confirmed',
    "prefetch": "nothing tells how much a client can take but its socket",
    "prefetch_bytes": "nothing tells how much a client can take but its socket",
    "hang_timeout": "nobody can be asked for a sign of life",
    "resume_timeout": "a connection that is cut is over",
    "max_attempts": "nothing is ever dealt again",
    "handshake_timeout": "there is no handshake",
    "results": "results travel on their own",
    "authkey": "there is no handshake; use ssl=",
}


def refuse_native_options(**options: object) -> None:
    """Raise ValueError for an option that was given and means nothing on this wire."""
    for name, value in options.items():
        if value is not None and (name, value) != ("delivery", "at-most-once"):
            raise ValueError(f'{name}={value!r} means nothing with wire="go": {_WHY[name]}')


class GoWiring(Ends):
    """Two channels, their codecs and their sessions on this wire."""

    def __init__(
        self,
        outgoing: Channel[Any] | None,
        incoming: Channel[Any] | None,
        options: CommonOptions,
    ) -> None:
        super().__init__(outgoing, incoming, options)
        self.options = options
        self._writer: GobWriter | None = None
        for channel in (outgoing, incoming):
            if channel is not None:
                # Raises now what is to be raised for a type that the codec does not have.
                codecs.resolve(options.codec, channel.item_type)
        if outgoing is not None:
            self.encoder = self._make_encoder(outgoing.item_type)

    def session(self) -> GoSession:
        """For a new connection."""
        decode: Callable[[bytes], Any] = _unexpected
        if self.incoming is not None:
            decode = self._make_decoder(self.incoming.item_type)
        return GoSession(
            signature=self.options.signature,
            max_frame_size=self.options.max_frame_size,
            decode=decode,
            writer=self._writer,
        )

    def _make_encoder(self, item_type: Any) -> PayloadEncoder:
        options = self.options
        if options.codec == "gob":
            self._writer = GobWriter(item_type, self.transforms, options.max_frame_size)
            return PayloadEncoder(self._writer, (), options.max_frame_size)
        codec = codecs.resolve(options.codec, item_type)
        return PayloadEncoder(codec, self.transforms, options.max_frame_size)

    def _make_decoder(self, item_type: Any) -> Callable[[bytes], Any]:
        if self.options.codec == "gob":
            from distchan import gob  # which the other codecs do without

            # Frames have a limit of their own.
            return decoder(gob.Decoder(item_type, max_size=2**62).decode, self.transforms)
        return decoder(codecs.resolve(self.options.codec, item_type).decode, self.transforms)


def _unexpected(data: bytes) -> Any:
    raise ValueError("nothing is expected, as there is no incoming channel")
