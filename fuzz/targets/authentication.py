"""The handshake with a shared key: who has not got it, or was not asked, comes nowhere.

What the peer says, and what its proofs must be, is worked out here as docs/protocol.md has it.
"""

import hashlib
import hmac
import random
import struct
from collections.abc import Callable
from typing import Final

import msgspec

from distchan._authentication import Key
from distchan._client_session import ClientSession
from distchan._frames import split
from distchan._server_session import ServerSession
from distchan._session import Session
from distchan.errors import DistchanError
from fuzz import wire
from fuzz.source import Source, cuts
from fuzz.targets._script import HELLO, ID, decode

__all__ = ["run", "seeds"]

_KEY: Final = b"a key of two ends"
_BINDINGS: Final = (b"", b"that of a channel")
_HELLO, _ERROR, _NONCE, _PROOF = 1, 12, 13, 14
#: What an end says before the other has proved that it has the key, besides ERROR.
_FIRST: Final = {"client": {_NONCE, _HELLO, _PROOF}, "server": {_NONCE}}


def seeds() -> list[bytes]:
    """The handshake as it should be, of either end, and those in which something is wrong."""
    chance = random.Random(1)
    return [b"", b"\0", b"\1", *(chance.randbytes(length) for length in range(2, 40))]


def run(data: bytes) -> object:
    source = Source(data)
    peer = _Client(source) if source.flag() else _Server(source)
    try:
        peer.play()
    except DistchanError as error:
        assert peer.session.over
        return peer.session.opened, f"{type(error).__name__}: {error}"
    assert peer.session.opened or peer.is_wrong
    assert not peer.is_short or peer.is_wrong
    return peer.session.opened, ""


class _Peer:
    """The other end of the one that is attacked."""

    role: str
    session: Session

    def __init__(self, source: Source) -> None:
        self._source = source
        self._binding = source.choice(_BINDINGS)
        #: All frames so far, of both ends, in the order in which they count.
        self._entries: list[bytes] = []
        #: Something that was said is not what it should have been.
        self.is_wrong = False
        #: A nonce was not as long as it should have been, though its proof is right.
        self.is_short = False

    def play(self) -> None:
        raise NotImplementedError

    def listen(self, *kinds: int) -> None:
        """What the session says, which has to be these frames."""
        frames = [frame[8:] for frame in split(self.session.data_to_send())]
        if not self.is_wrong:
            assert [frame[0] for frame in frames] == [*kinds], frames
        for frame in frames:
            if frame[0] == _PROOF and not self.is_wrong:
                other = "server" if self.role == "client" else "client"
                assert frame[1:] == self._proof(other)
            self._entries.append(frame)

    def say(self, kind: int, body: Callable[[], bytes]) -> None:
        """A frame: mostly the one that is due."""
        source = self._source
        mistake = source.below(16)
        if mistake < 9:
            self._feed(wire.control(kind, body()))
            return
        # What is said is none of the entries then, so that no proof that comes later fits.
        self.is_wrong = True
        match mistake:
            case 9:  # not at all
                return
            case 10:  # twice, which would be too late for the last one
                if kind != _PROOF:
                    self._feed(wire.control(kind, body()) * 2)
            case 11:  # under another name; as an ERROR it would be words, other ones each time
                others = [other for other in range(16) if other not in (kind, _ERROR)]
                self._feed(wire.control(source.choice(others), body()))
            case 12:
                self._feed(wire.control(kind, body() + source.take(1 + source.below(40)) + b"."))
            case 13:
                self._feed(wire.control(kind, _changed(body(), source)))
            case 14:
                self._feed((wire.any_frame(source) or b"x") + wire.control(kind, body()))
            case _:
                self._feed(wire.control(kind, source.take(source.below(40))))

    def nonce(self) -> bytes:
        size = 32
        if self._source.below(16) == 15:
            size = self._source.below(64)
            self.is_short |= size != 32
        return (self._source.take(size) + bytes(size))[:size]

    def proof(self) -> bytes:
        """Mostly the right one."""
        source = self._source
        mistake = source.below(16)
        if mistake < 11:
            return self._proof(self.role)
        self.is_wrong = True
        match mistake:
            case 11:
                return self._proof("server" if self.role == "client" else "client")
            case 12:
                return self._proof(self.role, key=_KEY + b"\1")
            case 13:
                return self._proof(self.role, binding=b"of another channel")
            case 14:
                return self._proof(self.role, leave_out=source.below(5))
            case _:  # what the session itself has said last
                return self._entries[-1][1:] if self._entries else b""

    def _proof(
        self,
        role: str,
        *,
        key: bytes = _KEY,
        binding: bytes | None = None,
        leave_out: int | None = None,
    ) -> bytes:
        entries = [entry for place, entry in enumerate(self._entries) if place != leave_out]
        if leave_out is not None and len(entries) == len(self._entries):
            entries.append(b"one too many")
        binding = self._binding if binding is None else binding
        parts = [b"distchan authkey 1", binding, *entries, role.encode()]
        text = b"".join(struct.pack("<I", len(part)) + part for part in parts)
        return hmac.digest(key, text, hashlib.sha256)

    def _feed(self, data: bytes) -> None:
        source, session = self._source, self.session
        if not self.is_wrong:
            self._entries += [frame[8:] for frame in split([data])]
        places = range(len(data)) if source.flag() else ()
        try:
            for piece in cuts(data, places):
                session.feed(piece)
                while session.next_event() is not None:
                    pass
        finally:
            self._check()

    def _check(self) -> None:
        """Whoever has made a mistake is told nothing, and does not get in."""
        if not self.is_wrong:
            return
        assert not self.session.opened
        other = "server" if self.role == "client" else "client"
        said = {frame[8] for frame in split(self.session.data_to_send())}
        assert said <= _FIRST[other] | {_ERROR}, said


class _Client(_Peer):
    role = "client"

    def play(self) -> None:
        self.session = ServerSession(
            HELLO,
            signature=wire.SIGNATURE,
            transforms=(),
            decode=decode,
            find=lambda hello: None,
            authkey=Key(_KEY),
        )
        self.session.start(self._binding)
        hello = msgspec.structs.replace(HELLO, session=ID, epoch=1)
        self.say(_NONCE, self.nonce)
        self.say(_HELLO, hello.pack)
        self.listen(_NONCE)
        self.say(_PROOF, self.proof)
        self.listen(_HELLO, _PROOF)


class _Server(_Peer):
    role = "server"

    def play(self) -> None:
        self.session = ClientSession(
            HELLO, signature=wire.SIGNATURE, transforms=(), decode=decode, authkey=Key(_KEY)
        )
        self.session.start(self._binding)
        self.listen(_NONCE, _HELLO)
        self.say(_NONCE, self.nonce)
        self.listen(_PROOF)
        self.say(_HELLO, msgspec.structs.replace(HELLO, resumed=False).pack)
        self.say(_PROOF, self.proof)


def _changed(body: bytes, source: Source) -> bytes:
    """With one bit of one byte turned over."""
    if not body:
        return b"."
    place = source.below(len(body))
    return body[:place] + bytes([body[place] ^ (1 << source.below(8))]) + body[place + 1 :]
