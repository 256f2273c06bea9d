"""How two ends that share a key prove it to each other, before anything else is believed.

Each end sends 32 random bytes (NONCE) and a HMAC-SHA-256 over everything that both have said on
this connection (PROOF), so that a recorded proof is worth nothing later and a changed byte is
noticed. The role is part of it: what the client says is no answer that a server could give. What
the HELLO frames mean is looked at only after the peer's proof. docs/protocol.md has the exact
bytes.
"""

import hmac
import secrets
import struct
from typing import Final, Literal

from distchan._wire import Kind
from distchan.errors import AuthenticationError, ProtocolError

__all__ = ["SHORTEST_KEY", "Authentication", "Key"]

#: Of a key, in bytes. Whoever has listened can try keys for as long as he likes.
SHORTEST_KEY: Final = 16

_NONCE_SIZE: Final = 32
#: In front of everything that goes into a proof, so that a key used elsewhere, too, proves nothing.
_PROTOCOL: Final = b"distchan authkey 1"
_LENGTH: Final = struct.Struct("<I")

Role = Literal["client", "server"]


class Key:
    """A shared key, which no repr and no log shows. Raises TypeError or ValueError."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if not isinstance(secret, bytes):
            raise TypeError(f"authkey must be bytes, not {type(secret).__name__}")
        if len(secret) < SHORTEST_KEY:
            raise ValueError(f"an authkey has at least {SHORTEST_KEY} bytes, not {len(secret)}")
        self._secret = secret

    def __repr__(self) -> str:
        return "<authkey>"

    def mac(self) -> hmac.HMAC:
        return hmac.new(self._secret, digestmod="sha256")


class Authentication:
    """That of one connection, on either end: takes down all that is said, makes and checks proofs.

    Either end hears NONCE, HELLO and PROOF, in this order.

    binding: what identifies the encrypted channel below, on both ends; empty if there is none.
    """

    def __init__(self, key: Key, role: Role, binding: bytes) -> None:
        self._role: Role = role
        self._peer: Role = "server" if role == "client" else "client"
        self._expected = [Kind.NONCE, Kind.HELLO, Kind.PROOF]
        self._mac = key.mac()
        self._add(_PROTOCOL)
        self._add(binding)
        self.nonce: Final = secrets.token_bytes(_NONCE_SIZE)
        #: The body of the peer's HELLO.
        self.hello = b""

    @property
    def succeeded(self) -> bool:
        """Whether the peer has proved that it has the key."""
        return not self._expected

    def say(self, kind: int, body: bytes) -> None:
        """Take down a frame that is sent."""
        self._add(bytes([kind]) + body)

    def hear(self, kind: int, body: bytes) -> None:
        """Take down a frame of the peer. Raises AuthenticationError or ProtocolError."""
        if self.succeeded or kind != self._expected[0]:
            if kind == Kind.HELLO and self._expected[:1] == [Kind.NONCE]:
                raise AuthenticationError(
                    f"this {self._role} has an authkey, the {self._peer} has none"
                )
            raise ProtocolError(f"unexpected frame of kind {kind} while authenticating")
        if kind == Kind.NONCE and len(body) != _NONCE_SIZE:
            raise ProtocolError(f"a NONCE frame of {len(body)} bytes")
        if kind == Kind.PROOF and not hmac.compare_digest(body, self._proof(self._peer)):
            raise AuthenticationError("the authkeys of server and client differ")
        if kind == Kind.HELLO:
            self.hello = body
        del self._expected[0]
        self._add(bytes([kind]) + body)

    def proof(self) -> bytes:
        """That this end has the key, and has heard and said what it has."""
        return self._proof(self._role)

    def _proof(self, role: Role) -> bytes:
        mac = self._mac.copy()
        mac.update(_counted(role.encode()))
        return mac.digest()

    def _add(self, entry: bytes) -> None:
        self._mac.update(_counted(entry))


def _counted(entry: bytes) -> bytes:
    """With its length, so that no two sequences of entries are the same bytes."""
    return _LENGTH.pack(len(entry)) + entry
