"""TLS between a transport and its protocol, from the first byte of a connection.

The loops' own TLS cannot close one direction: their close() takes whatever still comes from the
peer for an error and resets the connection, which destroys what the peer has not read yet. So this
is a layer of its own over ssl.SSLObject: for the protocol above it is a transport like any other,
write_eof() included, which says so with close_notify. Nor does the end of a stream without
close_notify, which anybody on the way can bring about, reach the protocol as an end.

There is no renegotiation (TLS 1.3 has none): a peer of an older version that wants it is cut off.
"""

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeAlias, cast

from distchan._last_words import unread
from distchan.errors import AuthenticationError, HandshakeError

__all__ = ["Above", "Secure", "TlsLayer", "channel_binding", "check_context"]

#: The first byte of a TLS record: change_cipher_spec, alert, handshake, application_data (RFC 8446,
#: section 5.1).
_CONTENT_TYPES: Final = range(20, 24)

#: How much is decrypted at once, in bytes, for a protocol that has no buffer of its own.
_PLAIN_SIZE: Final = 64 * 1024

#: What the alerts are about with which a peer refuses a certificate, or misses one.
_ABOUT_CERTIFICATES: Final = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")


class Above(Protocol):
    """A protocol that knows of TLS: an asyncio.Protocol or asyncio.BufferedProtocol, and this.

    With a transport whose extra information has an ``sslcontext``, it waits for secured() before
    it says anything.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, error: Exception | None) -> None: ...

    def secured(self) -> None:
        """The peer has proved who it is, as far as the context wants that."""

    def broken(self, error: Exception) -> None:
        """Nothing more can be read. It has to close the transport.

        HandshakeError, AuthenticationError: it is final. Others: the connection was cut.
        """


#: Puts TLS below a client's protocol.
Secure: TypeAlias = Callable[[Above], asyncio.Protocol]


def check_context(context: object, *, server_side: bool) -> None:
    """Raise TypeError for what is no SSLContext, ValueError for one of the other end."""
    role, other = ("server", "client") if server_side else ("client", "server")
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(
            f"ssl must be an ssl.SSLContext, as distchan.tls.{role}_context() makes, "
            f"not {context!r}"
        )
    if context.protocol == (ssl.PROTOCOL_TLS_CLIENT if server_side else ssl.PROTOCOL_TLS_SERVER):
        raise ValueError(f"a {role} needs another SSLContext than a {other}'s")


def channel_binding(transport: asyncio.BaseTransport) -> bytes:
    """What identifies the encrypted channel on both of its ends; empty if it is none.

    The SHA-256 of the server's certificate (DER), as ``tls-server-end-point`` of RFC 5929: whoever
    is in the middle would have to show another one. Python's ssl knows no other for TLS 1.3.
    """
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None:
        return b""
    certificate = _own_certificate(tls.context) if tls.server_side else tls.getpeercert(True)
    return hashlib.sha256(certificate or b"").digest()


def _own_certificate(context: ssl.SSLContext) -> bytes | None:
    """That which a server shows. Its SSLObject does not tell; a client's does, even of a handshake
    in memory that the server would not finish for want of the client's certificate."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    client = client_context.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(2):  # TLS 1.3 needs one round trip, TLS 1.2 two
        for end in (client, server):
            with contextlib.suppress(ssl.SSLError):
                end.do_handshake()
    with contextlib.suppress(ssl.SSLError):
        client.do_handshake()
    return client.getpeercert(True)


class TlsLayer(asyncio.Protocol, asyncio.Transport):
    """A protocol for the transport below, a transport for the protocol above.

    handshake_timeout: seconds; None: somebody else sees to that.
    server_hostname: of a client, what the server's certificate must be for.
    """

    def __init__(
        self,
        above: Above,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        handshake_timeout: float | None = None,
    ) -> None:
        super().__init__()
        self._above = above
        self._context = context
        self._server_side = server_side
        self._role, self._peer = ("server", "client") if server_side else ("client", "server")
        self._handshake_timeout = handshake_timeout
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side, server_hostname=server_hostname
        )
        self._loop = asyncio.get_running_loop()
        self._below: asyncio.Transport
        self._deadline: asyncio.TimerHandle | None = None
        self._plain: memoryview | None = None
        if not isinstance(above, asyncio.BufferedProtocol):
            self._plain = memoryview(bytearray(_PLAIN_SIZE))
        self._secured = False
        #: The peer has begun; with something else than TLS.
        self._begun = False
        self._in_the_clear = False
        self._paused = False
        #: Our direction has ended; the peer's has, by close_notify.
        self._closed = False
        self._ended = False
        #: What still comes is dropped.
        self._deaf = False

    # -- the side of the transport below ----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._below = cast(asyncio.Transport, transport)
        if self._handshake_timeout is not None:
            self._deadline = self._loop.call_later(self._handshake_timeout, self._too_late)
        self._above.connection_made(self)
        self._advance()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if not self._begun and not self._begins_well(data):
            return
        self._incoming.write(data)
        self._advance()

    def eof_received(self) -> bool:
        self._paused = False
        self._advance()
        if self._ended:
            return True  # the protocol above has heard of it, and decides
        if self._closed:  # it heard our close_notify, and there is nothing to add
            self._ended = True
            return bool(self._above.eof_received())
        if self._secured:
            words = "it was cut: TLS was not closed in good order"
        elif self._server_side:
            words = "it closed the connection in the TLS handshake"
        else:
            words = "it closes connections in the TLS handshake, as a server without TLS may do"
        self._break(ConnectionResetError(words))
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_timer()
        if error is not None:
            # It is a write that failed; the loop does not read what had arrived before.
            self._paused = False
            for data in unread(self._below):
                self.data_received(data)
        self._deaf = True
        self._above.connection_lost(error)

    def pause_writing(self) -> None:
        self._above.pause_writing()

    def resume_writing(self) -> None:
        self._above.resume_writing()

    # -- the side of the protocol above -----------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sslcontext":
            return self._context
        if name == "ssl_object":
            return self._tls
        return self._below.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._below.is_closing()

    def pause_reading(self) -> None:
        self._paused = True
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        self._below.resume_reading()
        self._loop.call_soon(self._advance)  # what was decrypted with the last that came

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writelines((data,))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Nothing is written before the handshake is done, or after TLS has failed.

        Only a server tells a peer that knows no TLS why it is refused.
        """
        if self._in_the_clear and self._server_side:
            self._below.writelines(list_of_data)
        if not self._secured or self._closed:
            return
        try:
            for data in list_of_data:
                rest = memoryview(data)
                while rest:
                    rest = rest[self._tls.write(rest) :]
        except ssl.SSLError as error:
            self._break(self._explained(error))
        self._flush()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._say_goodbye()
        if not self._below.is_closing():
            self._below.write_eof()

    def close(self) -> None:
        self._say_goodbye()
        self._below.close()

    def abort(self) -> None:
        self._below.abort()

    # -- between the two --------------------------------------------------------------------------

    def _advance(self) -> None:
        """Do what is possible with what has come."""
        if not self._secured and not self._deaf:
            self._shake_hands()
        if self._secured:
            self._read()
        self._flush()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            self._break(self._explained(error))
            return
        self._secured = True
        self._stop_timer()
        self._flush()  # the server learns that it is done before it is spoken to
        self._above.secured()

    def _read(self) -> None:
        while not self._paused and not self._deaf:
            if self._plain is None:
                buffered = cast(asyncio.BufferedProtocol, self._above)
                size, reason = self._decrypt(cast(memoryview, buffered.get_buffer(-1)))
                if size:
                    buffered.buffer_updated(size)
            else:
                size, reason = self._decrypt(self._plain)
                if size:
                    data = bytes(self._plain[:size])
                    cast(asyncio.Protocol, self._above).data_received(data)
            if isinstance(reason, ssl.SSLWantReadError):
                return
            if isinstance(reason, ssl.SSLZeroReturnError):
                self._end()
            elif reason is not None:
                self._break(self._explained(reason))

    def _decrypt(self, buffer: memoryview) -> tuple[int, ssl.SSLError | None]:
        """Fill the buffer. How many bytes there are, and why there are no more if it is not full"""
        size = 0
        try:
            while size < len(buffer):
                # With a buffer, it returns a number.
                count = cast(int, self._tls.read(len(buffer) - size, buffer[size:]))
                if not count:
                    return size, ssl.SSLZeroReturnError()
                size += count
        except ssl.SSLError as error:
            return size, error
        return size, None

    def _end(self) -> None:
        """The peer has said that nothing follows."""
        self._ended = self._deaf = True
        if not self._above.eof_received():
            self.close()

    def _break(self, error: Exception) -> None:
        if self._deaf:
            return
        self._deaf = True
        self._stop_timer()
        self._flush()  # there may be an alert that tells the peer why
        self._above.broken(error)

    def _say_goodbye(self) -> None:
        """Tell the peer that nothing follows, and be ready for what still comes from it."""
        if self._closed:
            return
        self._closed = True
        if not self._secured:
            self._deaf = True
            return
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:
            pass  # the peer has not said the same yet
        except ssl.SSLError:  # there is something of it that was not read, or all is over
            self._deaf = True
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._below.is_closing():
            self._below.write(self._outgoing.read())

    def _begins_well(self, data: bytes) -> bool:
        """Whether what has come first is TLS."""
        self._begun = True
        if data[0] in _CONTENT_TYPES:
            return True
        self._in_the_clear = True
        self._break(
            HandshakeError(f"this {self._role} expects TLS, and the {self._peer} does not speak it")
        )
        return False

    def _too_late(self) -> None:
        self._break(
            HandshakeError(
                f"it did not finish the TLS handshake within {self._handshake_timeout:g} s"
            )
        )

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _explained(self, error: ssl.SSLError) -> Exception:
        """What the protocol above is told."""
        reason = error.reason or str(error)
        words = reason.lower().replace("_", " ")
        if isinstance(error, ssl.SSLCertVerificationError):
            return AuthenticationError(
                f"the {self._peer}'s certificate is refused: {error.verify_message}"
            )
        if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            return AuthenticationError(f"the {self._peer} shows no certificate")
        if "ALERT" in reason and any(about in reason for about in _ABOUT_CERTIFICATES):
            return AuthenticationError(
                f"the {self._peer} refuses this {self._role}: {words.rpartition('alert ')[2]}"
            )
        if not self._secured:
            return HandshakeError(f"TLS with the {self._peer} fails: {words}")
        return ConnectionResetError(f"what came from the {self._peer} is no proper TLS: {words}")
