"""The session without any network: handshake, credit, closing, leaving, and what it refuses."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distchan._session import (
    Arrived,
    Bye,
    Closed,
    Credited,
    Left,
    Opened,
    Rejected,
    Undecodable,
)
from distchan._wire import Kind
from distchan.errors import (
    ConnectionLost,
    DecodeError,
    DistchanError,
    FrameTooLarge,
    HandshakeError,
    InvalidSignature,
    ProtocolError,
    TypeMismatch,
)
from tests.helpers import Link, deliver, read, wiring


def opened(
    server: tuple[object, object] = (str, str),
    client: tuple[object, object] = (str, str),
    **options: Any,
) -> Link:
    link = Link(wiring(*server, **options), wiring(*client, **options))
    at_server, at_client = link.carry()
    assert at_server == [Opened()]
    assert at_client == [Opened()]
    return link


def send(link: Link, item: str) -> bool:
    assert link.server_wiring.dealer is not None
    return link.server.send(link.server_wiring.dealer.encode(item))


def answer(link: Link, item: str) -> bool:
    assert link.client_wiring.dealer is not None
    return link.client.send(link.client_wiring.dealer.encode(item))


def frame(link: Link, payload: bytes, length: int | None = None) -> bytes:
    signature = link.server_wiring.options.signature
    size = len(payload) if length is None else length
    return signature.to_bytes(4, "little") + size.to_bytes(4, "little", signed=True) + payload


class TestHandshake:
    def refusal(self, server: Any, client: Any) -> tuple[DistchanError, DistchanError]:
        """What the server raises, and what the client is told."""
        link = Link(server, client)
        at_server, at_client = link.carry()
        (local,) = at_server
        remote = at_client[-1]
        assert isinstance(local, DistchanError)
        assert isinstance(remote, DistchanError)
        return local, remote

    def test_opens_both_ends(self) -> None:
        link = opened()
        assert link.server.credit == 8
        assert link.client.credit == 256

    def test_the_smaller_prefetch_counts(self) -> None:
        for server, client in ((3, 5), (5, 3)):
            link = Link(wiring(str, str, prefetch=server), wiring(str, str, prefetch=client))
            link.carry()
            assert link.server.credit == 3

    @pytest.mark.parametrize(
        ("server", "client", "kind", "words"),
        [
            ((int, str), (str, str), TypeMismatch, "this server sends int, the client expects str"),
            ((str, str), (int, str), TypeMismatch, "this server expects str, the client sends int"),
            ((str, None), (str, str), HandshakeError, "this server takes no results"),
            ((None, str), (str, str), HandshakeError, "this server deals no items"),
        ],
    )
    def test_refuses_other_channels_in_words(
        self, server: Any, client: Any, kind: type[DistchanError], words: str
    ) -> None:
        local, remote = self.refusal(wiring(*server), wiring(*client))
        for error in (local, remote):
            assert type(error) is kind
            assert words in str(error)

    def test_refuses_another_codec_in_words(self) -> None:
        _, remote = self.refusal(wiring(str, str), wiring(str, str, codec="json"))
        assert type(remote) is HandshakeError
        assert str(remote) == "this server's codec is 'msgpack', the client's is 'json'"

    def test_refuses_other_transforms_in_words(self) -> None:
        class Flip:
            def encode(self, data: bytes) -> bytes:
                return bytes(255 - byte for byte in data)

            decode = encode

        local, remote = self.refusal(wiring(str, str, transforms=[Flip()]), wiring(str, str))
        for error in (local, remote):
            assert type(error) is HandshakeError
            assert "transforms" in str(error)

    def test_another_signature_is_told_on_both_ends(self) -> None:
        local, remote = self.refusal(wiring(str, str), wiring(str, str, signature=0xABCD))
        assert type(local) is InvalidSignature
        assert str(local).startswith("expected signature 0x31636864, got 0x0000abcd: ")
        assert type(remote) is InvalidSignature
        assert str(remote).startswith("expected signature 0x0000abcd, got 0x31636864: ")

    def test_client_refuses_a_server_with_larger_frames(self) -> None:
        link = Link(wiring(str, str, max_frame_size=2000), wiring(str, str, max_frame_size=1000))
        _, at_client = link.carry()
        assert isinstance(at_client[-1], HandshakeError)
        assert "2000" in str(at_client[-1])

    def test_nothing_is_decoded_before_the_handshake(self) -> None:
        decoded = []

        class Spy:
            name = "spy"

            def encode(self, item: object) -> bytes:
                return b""

            def decode(self, data: bytes) -> object:
                decoded.append(data)
                return None

        link = Link(wiring(str, str, codec=Spy()), wiring(str, str, codec=Spy()))
        link.server.feed(frame(link, bytes([Kind.RESULT]) + bytes(8) + b"evil"))
        (error,) = read(link.server)
        assert type(error) is ProtocolError
        assert decoded == []

    @given(st.binary(max_size=300))
    def test_any_bytes_for_a_hello_are_refused_or_understood(self, body: bytes) -> None:
        link = Link(wiring(str, str), wiring(str, str))
        link.server.feed(frame(link, bytes([Kind.HELLO]) + body))
        (event,) = read(link.server)
        assert isinstance(event, ProtocolError | HandshakeError | Opened)

    def test_hello_with_senseless_limits_is_refused(self) -> None:
        server, client = wiring(str, str), wiring(str, str)
        import msgspec

        client.hello = msgspec.structs.replace(client.hello, prefetch=0)
        local, _ = self.refusal(server, client)
        assert type(local) is ProtocolError


class TestData:
    def test_items_and_results_arrive_in_order(self) -> None:
        link = opened()
        send(link, "a")
        send(link, "b")
        _, at_client = link.carry()
        assert at_client == [Arrived(["a", "b"], 4)]
        answer(link, "A")
        at_server, _ = link.carry()
        assert at_server == [Arrived(["A"], 2)]

    @given(st.integers(min_value=1, max_value=40))
    def test_however_the_bytes_are_cut(self, size: int) -> None:
        link = Link(wiring(str, str), wiring(str, str))

        def cut(data: bytes) -> list[bytes]:
            return [data[i : i + size] for i in range(0, len(data), size)]

        link.carry(cut)
        send(link, "first")
        send(link, "second")
        _, at_client = link.carry(cut)
        values = [
            value for event in at_client if isinstance(event, Arrived) for value in event.values
        ]
        assert values == ["first", "second"]

    def test_an_item_that_does_not_decode_is_rejected_and_harms_no_other(self) -> None:
        link = opened((Any, str), (str, str))
        for payload in (b"\xa1a", b"\xc1", b"\xa1b"):
            link.server.send(payload)
        at_server, at_client = link.carry()
        first, bad, second = at_client
        assert (first, second) == (Arrived(["a"], 2), Arrived(["b"], 2))
        assert isinstance(bad, Undecodable)
        assert isinstance(bad.error, DecodeError)
        assert bad.size == 1
        assert at_server == [Rejected(str(bad.error))]

    def test_what_the_peer_may_not_send(self) -> None:
        for payload, words in [
            (bytes([Kind.HELLO]), "unexpected frame of kind 1"),
            (bytes([Kind.BYE]), "unexpected frame of kind 7"),
            (bytes([99]), "unexpected frame of kind 99"),
            (bytes([Kind.CREDIT]), "a CREDIT frame of 0 bytes"),
            (bytes([Kind.CREDIT]) + (5).to_bytes(8, "little") + bytes(16), "only 0 sent"),
            (bytes([Kind.CLOSE]) + b"1", "a CLOSE frame of 1 bytes"),
            (bytes([Kind.CLOSE]) + (3).to_bytes(8, "little"), "3 data frames announced"),
            (bytes([Kind.ITEM]) + bytes(8), "unexpected frame of kind 2"),
        ]:
            link = opened()
            link.server.feed(frame(link, payload))
            (error,) = read(link.server)
            assert type(error) is ProtocolError
            assert words in str(error)
            (told,) = deliver_all(link)
            assert isinstance(told, ProtocolError)
            assert str(told) == str(error)

    def test_lengths_that_make_no_sense(self) -> None:
        for length, kind in [(0, ProtocolError), (-1, ProtocolError), (2**31 - 1, FrameTooLarge)]:
            link = opened()
            link.server.feed(frame(link, b"", length))
            (error,) = read(link.server)
            assert type(error) is kind


def deliver_all(link: Link) -> list[Any]:
    events: list[Any] = []
    deliver(link.server, link.client, events)
    return events


class TestCredit:
    def test_is_used_up_by_sending_and_renewed_by_taking(self) -> None:
        link = opened(prefetch=2)
        assert send(link, "a")
        assert not send(link, "b")
        assert link.server.credit == 0
        link.carry()
        assert link.server.outstanding == 2
        link.client.took(1, 2)
        at_server, _ = link.carry()
        assert at_server == [Credited()]
        assert link.server.credit == 1
        assert link.server.outstanding == 1

    def test_counts_bytes_too_but_one_item_always_fits(self) -> None:
        link = opened(prefetch_bytes=10)
        assert not send(link, "x" * 50)
        link.carry()
        assert link.server.credit == 0
        link.client.took(1, 52)
        link.carry()
        assert link.server.credit == 8

    def test_more_than_was_granted_is_refused(self) -> None:
        link = opened(prefetch=2)
        for item in "abc":
            send(link, item)
        _, at_client = link.carry()
        assert isinstance(at_client[-1], ProtocolError)
        assert "more data than was granted" in str(at_client[-1])

    def test_more_bytes_than_were_granted_are_refused(self) -> None:
        link = opened(prefetch_bytes=10, max_frame_size=100)
        for _ in range(3):
            send(link, "x" * 60)
        _, at_client = link.carry()
        assert isinstance(at_client[-1], ProtocolError)
        assert "more data than was granted" in str(at_client[-1])

    def test_a_stale_or_repeated_frame_is_harmless(self) -> None:
        link = opened(prefetch=2)
        send(link, "a")
        link.carry()
        link.client.took(1, 2)
        credit = b"".join(link.client.data_to_send())
        for _ in range(2):
            link.server.feed(credit)
            assert read(link.server) == [Credited()]
            assert link.server.credit == 2
            assert link.server.outstanding == 0
        link.server.feed(frame(link, bytes([Kind.CREDIT]) + bytes(24)))
        assert read(link.server) == [Credited()]
        assert link.server.credit == 2


class TestEnd:
    def test_close_both_ways_then_bye(self) -> None:
        link = opened()
        send(link, "a")
        link.server.close()
        _, at_client = link.carry()
        assert at_client == [Arrived(["a"], 2), Closed("")]
        answer(link, "A")
        link.client.close()
        at_server, at_client = link.carry()
        assert at_server == [Arrived(["A"], 2), Closed("")]
        assert at_client == [Bye()]
        assert link.server.finished
        assert link.client.finished

    def test_the_words_of_an_error_travel(self) -> None:
        link = opened()
        link.server.close("déjà vu" * 1000)
        _, (event,) = link.carry()
        assert isinstance(event, Closed)
        assert event.error.startswith("déjà vudéjà")

    def test_a_client_that_closed_its_side_still_gets_items(self) -> None:
        link = opened()
        link.client.close()
        link.carry()
        send(link, "a")
        _, at_client = link.carry()
        assert at_client == [Arrived(["a"], 2)]
        assert not link.server.finished

    def test_leaving_gives_back_what_was_not_taken(self) -> None:
        link = opened()
        for item in "abc":
            send(link, item)
        link.carry()
        link.client.took(1, 2)
        send(link, "d")  # crosses the LEAVE
        link.client.leave()
        answer(link, "A")
        link.client.close()
        at_server, at_client = link.carry()
        assert at_server == [Credited(), Left(), Arrived(["A"], 2), Closed("")]
        assert at_client == [Bye()]
        assert link.server.reclaim() == [b"\xa1b", b"\xa1c", b"\xa1d"]
        assert link.server.outstanding == 0
        assert link.server.confirmed == 1

    def test_what_is_reclaimed_is_not_unsent_as_well(self) -> None:
        link = opened()
        link.client.leave()
        send(link, "a")  # stays here: the client reads no more
        deliver(link.client, link.server, [])
        assert link.server.reclaim() == [b"\xa1a"]
        assert link.server.unsent() == []

    def test_close_and_leave_may_cross(self) -> None:
        link = opened()
        link.server.close()
        link.client.leave()
        link.client.close()
        at_server, at_client = link.carry()
        assert Left() in at_server
        assert Bye() in at_client

    @pytest.mark.parametrize(
        ("server", "client"), [((str, None), (None, str)), ((None, str), (str, None))]
    )
    def test_one_direction_only(self, server: Any, client: Any) -> None:
        link = opened(server, client)
        link.server.close()
        link.client.close()
        _, at_client = link.carry()
        assert Bye() in at_client

    def test_data_after_close_is_refused(self) -> None:
        link = opened()
        link.server.close()
        link.carry()
        link.client.feed(frame(link, bytes([Kind.ITEM]) + bytes(8) + b"\xa1a"))
        (error,) = read(link.client)
        assert isinstance(error, ProtocolError)
        assert "data after CLOSE" in str(error)

    def test_unsent_is_what_nobody_has_collected(self) -> None:
        link = opened()
        send(link, "a")
        link.server.data_to_send()
        send(link, "b")
        assert link.server.unsent() == [b"\xa1b"]

    def test_a_farewell_in_words(self) -> None:
        link = opened()
        link.server.refuse(ConnectionLost("the server has closed"))
        (event,) = deliver_all(link)
        assert type(event) is ConnectionLost
        assert str(event) == "the server has closed"
        assert link.client.pending == 0
