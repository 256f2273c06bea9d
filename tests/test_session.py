"""The session without any network: what the two ends tell each other, and what they refuse."""

import struct
from typing import Any
from unittest.mock import ANY

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distchan import _client_session, _server_session
from distchan._client_session import Fenced
from distchan._handshake import MOST_PREFETCH
from distchan._outstanding import Item, new_item
from distchan._server_session import GivenBack, Left
from distchan._session import Bye, Closed, Credited, Event, Opened
from distchan._wire import MOST_SETTLED, Kind, Outcome
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


def link_of(
    server: tuple[object, object] = (str, str),
    client: tuple[object, object] = (str, str),
    *,
    result_window: int = 256,
    **options: Any,
) -> Link:
    ends = wiring(*server, **options), wiring(*client, **options)
    ends[0].hello = msgspec.structs.replace(ends[0].hello, result_window=result_window)
    return Link(*ends)


def opened(
    server: tuple[object, object] = (str, str),
    client: tuple[object, object] = (str, str),
    *,
    window: int = 8,
    **options: Any,
) -> Link:
    """Both ends after the handshake; the client wants so many items."""
    link = link_of(server, client, **options)
    link.client.want(window)
    at_server, at_client = link.carry()
    gets_items = [Credited()] if link.client.receiving else []
    assert at_server == [Opened(), *gets_items]
    assert at_client == [Opened()]
    return link


def send(link: Link, text: str, *, attempt: int = 1, alone: bool = False) -> bool:
    return link.server.send(item(link, text, attempt=attempt, alone=alone))


def item(link: Link, text: str, *, attempt: int = 1, alone: bool = False) -> Item:
    """The item of that text, whose id is 1000 and its length."""
    return new_item(1000 + len(text), link.encode(text), attempt, alone)


def settle(link: Link, numbers: list[int], *results: object) -> None:
    payloads = [link.encode_result(result) for result in results]
    link.client.settle(numbers, payloads, sum(map(len, payloads)))


def answer(link: Link, result: object) -> None:
    """Send a result that belongs to no item."""
    link.client.send_result(link.encode_result(result))


def hand_out(link: Link, count: int) -> None:
    """Give tasks of the client so many items, as an Intake does."""
    link.client.announce(link.client.handed + count)
    link.client.handed += count


def items_of(events: list[Any]) -> list[Any]:
    """The items that have arrived at a client, where nothing went wrong."""
    assert not [event for event in events if isinstance(event, Exception)]
    return [v for e in events if isinstance(e, _client_session.Arrived) for v in e.values]


def results_of(events: list[Any]) -> list[Any]:
    """The results that have arrived at a server, where nothing went wrong."""
    assert not [event for event in events if isinstance(event, Exception)]
    return [v for e in events if isinstance(e, _server_session.Arrived) for v in e.values]


def texts(items: list[Item]) -> list[str]:
    return [msgspec.msgpack.decode(item.payload, type=str) for item in items]


def frame(link: Link, payload: bytes, length: int | None = None) -> bytes:
    signature = link.server_wiring.options.signature
    size = len(payload) if length is None else length
    return signature.to_bytes(4, "little") + size.to_bytes(4, "little", signed=True) + payload


def control(link: Link, kind: Kind, *counts: int) -> bytes:
    return frame(link, struct.pack(f"<B{len(counts)}Q", kind, *counts))


def settlement(link: Link, number: int, outcome: int, items: list[int], *entries: bytes) -> bytes:
    head = struct.pack(f"<BQBI{len(items)}Q", Kind.SETTLE, number, outcome, len(items), *items)
    return frame(link, head + b"".join(struct.pack("<I", len(e)) + e for e in entries))


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

    @pytest.mark.parametrize(
        ("server", "client", "least"),
        [(3, 5, 3), (5, 3, 3), (3, "auto", 3), ("auto", 5, 5), ("auto", "auto", MOST_PREFETCH)],
    )
    def test_the_smaller_prefetch_counts(self, server: Any, client: Any, least: int) -> None:
        link = Link(wiring(str, str, prefetch=server), wiring(str, str, prefetch=client))
        link.carry()
        assert link.client.most_wanted == least
        assert link.client.adapts == (server == "auto")
        link.client.want(link.client.most_wanted)
        link.carry()
        assert link.server.credit == min(least, 65_536)

    def test_a_client_that_wants_more_than_the_server_allows_does_not_get_it(self) -> None:
        link = opened(prefetch=3, window=100)
        assert link.server.credit == 3

    @pytest.mark.parametrize(
        ("server", "client", "keeps"),
        [
            ("at-least-once", "at-least-once", True),
            ("at-least-once", "at-most-once", False),
            ("at-most-once", "at-least-once", False),
        ],
    )
    def test_delivery_is_at_most_once_if_either_end_asks_for_it(
        self, server: str, client: str, keeps: bool
    ) -> None:
        link = Link(wiring(str, str, delivery=server), wiring(str, str, delivery=client))
        link.carry()
        assert link.server.keeps == link.client.keeps == keeps

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

    @pytest.mark.parametrize("kind", [Kind.RESULT, Kind.SETTLE])
    def test_nothing_is_decoded_before_the_handshake(self, kind: Kind) -> None:
        decoded = []

        class Spy:
            name = "spy"

            def encode(self, item: object) -> bytes:
                return b""

            def decode(self, data: bytes) -> object:
                decoded.append(data)
                return None

        link = Link(wiring(str, str, codec=Spy()), wiring(str, str, codec=Spy()))
        link.server.feed(frame(link, bytes([kind]) + bytes(13) + b"\x04\x00\x00\x00evil"))
        (error,) = read(link.server)
        assert type(error) is ProtocolError
        assert decoded == []

    @given(st.binary(max_size=300))
    def test_any_bytes_for_a_hello_are_refused_or_understood(self, body: bytes) -> None:
        link = Link(wiring(str, str), wiring(str, str))
        link.server.feed(frame(link, bytes([Kind.HELLO]) + body))
        (event,) = read(link.server)
        assert isinstance(event, ProtocolError | HandshakeError | Opened)

    @pytest.mark.parametrize(
        "senseless",
        [
            {"max_frame_size": 0},
            {"prefetch_bytes": 0},
            {"result_window": 0},
            {"prefetch": -1},
            {"epoch": -1},
            {"begun": -1},
            {"received": -1},
        ],
    )
    def test_hello_with_senseless_figures_is_refused(self, senseless: dict[str, int]) -> None:
        server, client = wiring(str, str), wiring(str, str)
        client.hello = msgspec.structs.replace(client.hello, **senseless)
        link = Link(server, client)
        link.client.data_to_send()
        link.server.feed(frame(link, bytes([Kind.HELLO]) + client.hello.pack()))
        (error,) = read(link.server)
        assert type(error) is ProtocolError
        assert "figures that make no sense" in str(error)

    def test_hello_with_an_endless_id_is_refused(self) -> None:
        link = Link(wiring(str, str), wiring(str, str))
        hello = msgspec.structs.replace(link.client_wiring.hello, session=b"x" * 65)
        link.server.feed(frame(link, bytes([Kind.HELLO]) + hello.pack()))
        (error,) = read(link.server)
        assert type(error) is ProtocolError


class TestData:
    def test_items_and_results_arrive_in_order(self) -> None:
        link = opened()
        send(link, "a")
        send(link, "bc", attempt=2)
        _, at_client = link.carry()
        tickets = bytearray(struct.pack("<QIQI", 1001, 1, 1002, 2))
        assert at_client == [_client_session.Arrived(0, ["a", "bc"], tickets)]
        answer(link, "A")
        settle(link, [0], "B", "C")
        answer(link, "D")
        at_server, _ = link.carry()
        assert at_server == [_server_session.Arrived(["A", "B", "C", "D"], 8, ANY)]

    @given(st.integers(min_value=1, max_value=60))
    def test_however_the_bytes_are_cut(self, size: int) -> None:
        link = link_of()

        def cut(data: bytes) -> list[bytes]:
            return [data[i : i + size] for i in range(0, len(data), size)]

        link.client.want(8)
        link.carry(cut)
        send(link, "first")
        send(link, "second")
        _, at_client = link.carry(cut)
        assert items_of(at_client) == ["first", "second"]
        settle(link, [0], "FIRST", "1")
        settle(link, [1], "SECOND")
        at_server, _ = link.carry(cut)
        assert results_of(at_server) == ["FIRST", "1", "SECOND"]
        assert not link.server.outstanding

    def test_an_item_that_does_not_decode_is_rejected_and_harms_no_other(self) -> None:
        link = opened((Any, str), (str, str))
        items = [new_item(n, payload) for n, payload in enumerate((b"\xa1a", b"\xc1", b"\xa1b"))]
        for each in items:
            link.server.send(each)
        at_server, at_client = link.carry()
        first, bad, second = at_client
        assert items_of([first]) == ["a"]
        assert items_of([second]) == ["b"]
        assert isinstance(bad, _client_session.Undecodable)
        assert isinstance(bad.error, DecodeError)
        assert at_server == [GivenBack([items[1]], Outcome.UNDECODABLE, str(bad.error))]
        assert link.server.outstanding.values() == [items[0], items[2]]
        assert link.server.blamed == 0

    def test_what_a_client_may_not_send(self) -> None:
        for payload, words in [
            (bytes([Kind.HELLO]), "unexpected frame of kind 1"),
            (bytes([Kind.BYE]), "unexpected frame of kind 9"),
            (bytes([99]), "unexpected frame of kind 99"),
            (bytes([Kind.CREDIT]) + bytes(24), "unexpected frame of kind 6"),
            (bytes([Kind.WINDOW]), "a WINDOW frame of 0 bytes"),
            (bytes([Kind.WINDOW]) + bytes(17), "a WINDOW frame of 17 bytes"),
            (bytes([Kind.LEAVE]) + bytes(9), "a LEAVE frame of 9 bytes"),
            (bytes([Kind.CLOSE]) + b"1", "a CLOSE frame of 1 bytes"),
            (bytes([Kind.CLOSE]) + (3).to_bytes(8, "little"), "3 data frames announced"),
            (bytes([Kind.ITEM]) + bytes(20), "unexpected frame of kind 2"),
        ]:
            link = opened()
            link.server.feed(frame(link, payload))
            (error,) = read(link.server)
            assert type(error) is ProtocolError
            assert words in str(error)
            (told,) = deliver_all(link)
            assert isinstance(told, ProtocolError)
            assert str(told) == str(error)

    def test_what_a_server_may_not_send(self) -> None:
        for payload, words in [
            (bytes([Kind.HELLO]), "unexpected frame of kind 1"),
            (bytes([Kind.BYE]), "unexpected frame of kind 9"),  # before the client has closed
            (bytes([Kind.LEAVE]) + bytes(8), "unexpected frame of kind 8"),
            (bytes([Kind.WINDOW]) + bytes(16), "unexpected frame of kind 5"),
            (bytes([Kind.CREDIT]), "a CREDIT frame of 0 bytes"),
            (bytes([Kind.CREDIT]) + (5).to_bytes(8, "little") + bytes(16), "only 0 sent"),
            (bytes([Kind.CLOSE]) + (3).to_bytes(8, "little"), "3 data frames announced"),
            (bytes([Kind.RESULT]) + bytes(8), "unexpected frame of kind 4"),
            (bytes([Kind.SETTLE]) + bytes(13), "unexpected frame of kind 3"),
        ]:
            link = opened()
            link.client.feed(frame(link, payload))
            (error,) = read(link.client)
            assert type(error) is ProtocolError
            assert words in str(error)

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


class TestSettling:
    def test_ends_the_servers_ownership(self) -> None:
        link = opened()
        for text in "abc":
            send(link, text)
        link.carry()
        assert len(link.server.outstanding) == 3
        settle(link, [0, 2], "A", "C")
        settle(link, [1])  # without any results
        at_server, _ = link.carry()
        assert at_server == [_server_session.Arrived(["A", "C"], 4, ANY)]
        assert not link.server.outstanding
        assert link.server.settled == 3
        assert link.server.surrender() == ([], [])

    @pytest.mark.parametrize(
        ("outcome", "blamed"),
        [(Outcome.FAILED, 2), (Outcome.RETURNED, 0), (Outcome.UNDECODABLE, 0)],
    )
    def test_gives_back_what_has_not_been_done(self, outcome: Outcome, blamed: int) -> None:
        link = opened()
        items = [item(link, text) for text in ("a", "bb", "ccc")]
        for each in items:
            link.server.send(each)
        link.carry()
        link.client.give_back(outcome, [0, 2], "déjà vu")
        at_server, _ = link.carry()
        assert at_server == [GivenBack([items[0], items[2]], outcome, "déjà vu")]
        assert link.server.outstanding.values() == [items[1]]
        assert link.server.settled == 0
        assert link.server.blamed == blamed

    def test_keeps_its_place_between_results(self) -> None:
        link = opened()
        for text in "abc":
            send(link, text)
        link.carry()
        settle(link, [0], "A")
        link.client.give_back(Outcome.FAILED, [1], "")
        settle(link, [2], "C")
        at_server, _ = link.carry()
        assert [type(event) for event in at_server] == [
            _server_session.Arrived,
            GivenBack,
            _server_session.Arrived,
        ]

    def test_the_words_of_a_reason_are_cut_to_size(self) -> None:
        link = opened()
        send(link, "a")
        link.carry()
        link.client.give_back(Outcome.FAILED, [0], "é" * 100_000)
        (event,), _ = link.carry()
        assert isinstance(event, GivenBack)
        assert event.reason == "é" * 4096

    def test_with_a_result_that_does_not_decode_has_no_results_and_gives_the_item_back(
        self,
    ) -> None:
        link = opened((str, str), (str, Any))
        items = [item(link, text) for text in "ab"]
        for each in items:
            link.server.send(each)
        link.carry()
        settle(link, [0], "good", 5)
        settle(link, [1], "B")
        at_server, _ = link.carry()
        bad, good = at_server
        assert isinstance(bad, _server_session.Undecodable)
        assert (bad.items, bad.count, bad.size) == ([items[0]], 2, 6)
        assert isinstance(bad.error, DecodeError)
        assert results_of([good]) == ["B"]
        assert not link.server.outstanding
        assert link.server.settled == 1

    @pytest.mark.parametrize(
        ("numbers", "wrong"), [([5], 5), ([0, 7], 7), ([1, 1], 1), ([0, 1, 2, 3], 3)]
    )
    @pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.FAILED])
    def test_what_is_not_outstanding_cannot_be_settled(
        self, numbers: list[int], wrong: int, outcome: Outcome
    ) -> None:
        link = opened()
        for text in "abc":
            send(link, text)
        link.carry()
        link.server.feed(settlement(link, 0, outcome, numbers, b"\xa1A"))
        (error,) = read(link.server)
        assert type(error) is ProtocolError
        assert f"item {wrong} is settled, but is not outstanding" in str(error)
        # The frame is void as a whole: nothing is lost.
        suspects, others = link.server.surrender()
        assert sorted(texts(suspects + others)) == ["a", "b", "c"]
        assert link.server.settled == 0

    def test_a_second_settlement_of_an_item_is_refused(self) -> None:
        link = opened()
        send(link, "a")
        link.carry()
        settle(link, [0], "A")
        settle(link, [0], "again")  # in one go: neither counts
        (error,), _ = link.carry()
        assert type(error) is ProtocolError
        suspects, _ = link.server.surrender()
        assert texts(suspects) == ["a"]

    def test_an_unknown_outcome_is_refused(self) -> None:
        link = opened()
        send(link, "a")
        link.carry()
        link.server.feed(settlement(link, 0, 9, [0], b"why"))
        (error,) = read(link.server)
        assert type(error) is ProtocolError
        assert len(link.server.outstanding) == 1

    def test_too_many_items_or_lengths_that_contradict_each_other_are_refused(self) -> None:
        for tail in (
            struct.pack("<BI", 0, MOST_SETTLED + 1) + bytes(8 * (MOST_SETTLED + 1)),
            struct.pack("<BI", 0, 1000) + bytes(8),
            struct.pack("<BIQI", 0, 1, 0, 50) + b"short",
        ):
            link = opened()
            send(link, "a")
            link.carry()
            link.server.feed(frame(link, struct.pack("<BQ", Kind.SETTLE, 0) + tail))
            (error,) = read(link.server)
            assert type(error) is ProtocolError
            assert "contradict" in str(error)

    def test_a_server_without_incoming_takes_settlements_but_no_results(self) -> None:
        link = opened((str, None), (None, str))
        for text in "ab":
            send(link, text)
        link.carry()
        link.client.settle([0], [], 0)
        link.client.give_back(Outcome.RETURNED, [1], "")
        at_server, _ = link.carry()
        assert [type(e) for e in at_server] == [_server_session.Arrived, GivenBack]
        assert link.server.settled == 1

    def test_a_result_after_the_clients_close_is_refused_a_settlement_is_not(self) -> None:
        link = opened()
        for text in "ab":
            send(link, text)
        link.carry()
        link.client.close()
        link.client.settle([0], [], 0)
        at_server, _ = link.carry()
        assert at_server == [Closed(""), _server_session.Arrived([], 0, ANY)]
        link.server.feed(settlement(link, 1, 0, [1], b"\xa1B"))
        (error,) = read(link.server)
        assert type(error) is ProtocolError
        assert "a result where none is expected any more" in str(error)


class TestWindow:
    """How many items the client wants, and gets."""

    def test_is_used_up_by_sending_and_renewed_by_settling(self) -> None:
        link = opened(prefetch=2)
        assert send(link, "a")
        assert not send(link, "b")
        assert link.server.credit == 0
        link.carry()
        assert link.server.credit == 0
        settle(link, [0])
        link.carry()
        assert link.server.credit == 1

    @pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.RETURNED, Outcome.UNDECODABLE])
    def test_is_renewed_by_giving_back(self, outcome: Outcome) -> None:
        link = opened(prefetch=1)
        send(link, "a")
        link.carry()
        link.client.give_back(outcome, [0], "")
        link.carry()
        assert link.server.credit == 1

    def test_counts_bytes_too_but_one_item_always_fits(self) -> None:
        link = opened(prefetch_bytes=10)
        assert not send(link, "x" * 50)
        link.carry()
        assert link.server.credit == 0
        settle(link, [0])
        link.carry()
        assert link.server.credit == 8

    def test_may_grow_and_shrink(self) -> None:
        link = opened(prefetch="auto", window=3)
        for text in "abc":
            send(link, text)
        link.carry()
        link.client.want(5)
        assert link.carry()[0] == [Credited()]
        assert link.server.credit == 2
        link.client.want(1)
        link.carry()
        assert link.server.credit == 0
        settle(link, [0])
        settle(link, [1])
        link.carry()
        assert link.server.credit == 0
        settle(link, [2])
        link.carry()
        assert link.server.credit == 1

    def test_what_was_under_way_when_it_shrank_is_accepted(self) -> None:
        link = opened(prefetch="auto", window=3)
        for text in "abc":
            send(link, text)
        link.client.want(1)
        _, at_client = link.carry()
        assert items_of(at_client) == ["a", "b", "c"]

    def test_of_a_large_one_little_changes_are_not_told(self) -> None:
        link = opened(prefetch="auto", window=100)
        link.client.want(101)
        assert not link.client.pending
        link.client.want(200)
        assert link.client.pending
        link.carry()
        link.client.want(1)
        link.carry()
        link.client.want(2)
        link.carry()
        assert link.server.credit == 2

    def test_more_than_was_wanted_is_refused(self) -> None:
        link = opened(window=2)
        for text in "abc":
            send(link, text)
        _, at_client = link.carry()
        assert isinstance(at_client[-1], ProtocolError)
        assert "more items than were wanted" in str(at_client[-1])

    def test_an_older_frame_takes_nothing_back_but_the_window(self) -> None:
        link = opened()
        for text in "abcd":
            send(link, text)
        link.carry()
        hand_out(link, 3)
        link.carry()
        assert link.server.handed == 3
        link.server.feed(control(link, Kind.WINDOW, 8, 1))
        assert read(link.server) == [Credited()]
        assert link.server.handed == 3

    def test_an_item_that_must_be_alone_gets_no_company(self) -> None:
        link = opened()
        assert not send(link, "poison", alone=True)
        assert link.server.credit == 0
        link.carry()
        link.client.want(8)
        link.carry()
        assert link.server.credit == 0
        settle(link, [0])
        link.carry()
        assert link.server.credit == 8

    def test_an_item_that_gets_company_all_the_same_is_alone_from_then_on(self) -> None:
        link = opened()
        send(link, "a")
        send(link, "poison", alone=True)  # for want of a client that holds nothing
        link.carry()
        settle(link, [0])
        link.carry()
        assert link.server.credit == 0
        settle(link, [1])
        link.carry()
        assert link.server.credit == 8

    @pytest.mark.parametrize("way", ["given back", "left"])
    def test_an_item_that_was_alone_leaves_the_place_to_others(self, way: str) -> None:
        link = opened()
        send(link, "poison", alone=True)
        link.carry()
        if way == "given back":
            link.client.give_back(Outcome.FAILED, [0], "")
            link.carry()
            assert link.server.credit == 8
        else:
            link.client.leave()
            at_server, _ = link.carry()
            (left,) = at_server
            assert isinstance(left, Left)
            assert texts(left.items) == ["poison"]


class TestCredit:
    """How many results the server grants, and what it confirms."""

    def test_is_used_up_by_sending_and_renewed_by_taking(self) -> None:
        link = opened(result_window=4)
        assert link.client.credit == 4
        for text in "abcd":
            answer(link, text)
        assert link.client.credit == 0
        link.carry()
        assert link.client.credit == 0  # nobody has taken anything
        link.server.took(1, 2)
        _, at_client = link.carry()
        assert at_client == [Credited()]
        assert link.client.credit == 1
        link.server.took(3, 6)
        link.carry()
        assert link.client.credit == 4

    def test_one_settlement_may_exceed_it(self) -> None:
        link = opened(result_window=4)
        for text in "abc":
            send(link, text)
        link.carry()
        settle(link, [0], *"ABC")
        assert link.client.credit == 1
        settle(link, [1], *"DEFGH")
        assert link.client.credit == 0
        at_server, _ = link.carry()
        assert results_of(at_server) == list("ABCDEFGH")
        link.server.took(8, 16)
        link.carry()
        assert link.client.credit == 4

    def test_settlements_without_results_need_no_credit(self) -> None:
        link = opened(result_window=4)
        for _ in range(8):
            send(link, "x")
        link.carry()
        settle(link, [0], *"ABCD")
        settle(link, [1])
        at_server, _ = link.carry()
        assert results_of(at_server) == list("ABCD")
        assert link.client.credit == 0
        settle(link, [2])
        link.client.give_back(Outcome.FAILED, [3], "")
        at_server, _ = link.carry()
        assert results_of(at_server) == []
        assert link.server.settled == 3

    def test_counts_bytes_too(self) -> None:
        link = opened(prefetch_bytes=10)
        answer(link, "x" * 5)
        assert link.client.credit == 255
        answer(link, "x" * 500)
        assert link.client.credit == 0
        link.carry()
        link.server.took(2, 508)
        link.carry()
        assert link.client.credit == 256

    def test_is_not_renewed_for_each_little_thing(self) -> None:
        link = opened(result_window=100)
        for _ in range(90):
            answer(link, "x")
        link.carry()
        link.server.took(1, 2)
        assert not link.server.pending
        link.server.took(24, 48)
        assert link.server.pending
        link.carry()
        assert link.client.credit == 35

    @pytest.mark.parametrize("at_once", [True, False])
    def test_more_than_was_granted_is_refused(self, at_once: bool) -> None:
        link = opened(result_window=4)
        for text in "abcd":
            answer(link, text)
            if not at_once:
                link.carry()
        answer(link, "e")
        at_server, _ = link.carry()
        assert isinstance(at_server[-1], ProtocolError)
        assert "more results than were granted" in str(at_server[-1])

    def test_a_settlement_without_credit_is_refused(self) -> None:
        link = opened(result_window=4)
        for text in "ab":
            send(link, text)
        link.carry()
        settle(link, [0], *"ABCDE")
        settle(link, [1], "F")
        at_server, _ = link.carry()
        assert isinstance(at_server[-1], ProtocolError)
        assert "more results than were granted" in str(at_server[-1])

    def test_more_bytes_than_were_granted_are_refused(self) -> None:
        link = opened(prefetch_bytes=10, max_frame_size=100)
        for _ in range(3):
            answer(link, "x" * 60)
        at_server, _ = link.carry()
        assert isinstance(at_server[-1], ProtocolError)
        assert "more results than were granted" in str(at_server[-1])

    def test_confirms_frames_whether_their_results_were_taken_or_not(self) -> None:
        link = opened(result_window=8)
        answer(link, "a")
        link.carry()
        assert link.client.unconfirmed == 1  # for one it is not worth a frame
        for text in "bcd":
            answer(link, text)
        link.carry()
        assert link.client.unconfirmed == 0
        assert link.client.credit == 4

    def test_confirms_settlements_without_results(self) -> None:
        link = opened(result_window=4)
        for number in range(20):
            send(link, "x")
            link.carry()
            settle(link, [number])
            link.carry()
            assert link.client.unconfirmed <= 1

    @pytest.mark.parametrize("limit", [2**63, 2**64 - 1])
    def test_may_be_without_end(self, limit: int) -> None:
        link = opened(result_window=1)
        answer(link, "a")
        assert link.client.exhausted
        link.client.feed(control(link, Kind.CREDIT, 0, limit, limit))
        assert read(link.client) == [Credited()]
        assert link.client.credit > 2**61

    def test_a_stale_or_repeated_frame_is_harmless(self) -> None:
        link = opened(result_window=4)
        for text in "ab":
            answer(link, text)
        link.carry()
        link.server.took(2, 4)
        credit = b"".join(link.server.data_to_send())
        for _ in range(2):
            link.client.feed(credit)
            assert read(link.client) == []
            assert link.client.credit == 4
            assert link.client.unconfirmed == 0
        for stale in ((0, 0, 0), (1, 4, 1 << 16)):
            link.client.feed(control(link, Kind.CREDIT, *stale))
            assert read(link.client) == []
            assert link.client.credit == 4
            assert link.client.unconfirmed == 0


class TestAnnouncements:
    """Which items the server suspects when the client dies."""

    def suspects(self, link: Link) -> list[str]:
        suspects, others = link.server.surrender()
        assert texts(suspects + others) == sorted(texts(suspects + others))  # in order
        return texts(suspects)

    def dealt(self, count: int = 6) -> Link:
        link = opened()
        for text in "abcdef"[:count]:
            send(link, text)
        link.carry()
        return link

    def test_without_a_word_the_first_item_is_suspect(self) -> None:
        link = self.dealt()
        assert self.suspects(link) == ["a"]

    def test_items_that_never_arrived_are_dealt_with_alike(self) -> None:
        link = opened()
        for text in "abc":
            send(link, text)
        link.client.data_to_send()
        assert self.suspects(link) == ["a"]

    def test_one_past_the_highest_announced_is_suspect(self) -> None:
        link = self.dealt()
        link.client.announce(3)
        link.carry()
        assert self.suspects(link) == ["a", "b", "c", "d"]

    def test_if_the_end_of_its_words_is_missing_all_are_suspect(self) -> None:
        link = self.dealt()
        link.client.announce(3)
        link.carry()
        link.server.heard_all = False
        assert self.suspects(link) == list("abcdef")

    def test_a_client_that_is_back_has_said_all(self) -> None:
        link = self.dealt()
        link.cut()
        link.server.heard_all = False
        link.reconnect()
        link.carry()
        assert self.suspects(link) == ["a"]

    def test_a_settlement_says_as_much(self) -> None:
        link = self.dealt()
        link.client.handed = 3
        settle(link, [2])
        link.carry()
        assert self.suspects(link) == ["a", "b", "d"]

    def test_so_do_several_in_any_order(self) -> None:
        link = self.dealt()
        link.client.handed = 4
        for number in (3, 0, 1):  # all of them in one piece
            settle(link, [number])
        link.carry()
        assert self.suspects(link) == ["c", "e"]

    @pytest.mark.parametrize(
        ("outcome", "suspects"),
        [
            (Outcome.FAILED, ["a", "c"]),
            (Outcome.UNDECODABLE, ["a", "c"]),
            (Outcome.RETURNED, ["a"]),  # perhaps nobody had ever received it
        ],
    )
    def test_what_has_been_given_back_may_say_as_much(
        self, outcome: Outcome, suspects: list[str]
    ) -> None:
        link = self.dealt()
        link.client.give_back(outcome, [1], "")
        assert link.client.announced == (0 if outcome is Outcome.RETURNED else 2)
        link.carry()
        assert self.suspects(link) == suspects

    def test_of_settled_items_nobody_is_suspect(self) -> None:
        link = self.dealt(2)
        link.client.handed = 2
        settle(link, [0, 1])
        link.carry()
        assert self.suspects(link) == []

    def test_one_more_than_the_server_knows_of_is_no_news(self) -> None:
        link = self.dealt()
        for count in (0, 1):
            link.client.announce(count)
            assert not link.client.pending
        settle(link, [0])
        link.client.announce(2)
        at_server, _ = link.carry()
        assert Credited() not in at_server
        assert self.suspects(link) == ["b"]

    def test_what_has_been_announced_is_not_announced_again(self) -> None:
        link = self.dealt()
        link.client.announce(4)
        link.carry()
        for count in (4, 3, 1):
            link.client.announce(count)
            assert not link.client.pending
        link.client.announce(6)
        link.carry()
        assert self.suspects(link) == list("abcdef")

    def test_what_is_written_is_known(self) -> None:
        link = self.dealt()
        link.client.announce(3)
        assert (link.client.announced, link.client.written) == (3, 0)
        link.client.data_to_send()
        assert link.client.written == 3
        settle(link, [4])
        assert (link.client.announced, link.client.written) == (5, 3)
        link.client.data_to_send()
        assert link.client.written == 5

    def test_nothing_is_announced_that_has_not_come(self) -> None:
        link = self.dealt(3)
        link.client.announce(100)
        link.carry()
        assert link.server.handed == 3
        assert link.client.announced == 3

    def test_more_than_has_been_sent_cannot_have_been_handed_out(self) -> None:
        for kind, counts in ((Kind.WINDOW, (8, 4)), (Kind.LEAVE, (4,))):
            link = self.dealt(3)
            link.server.feed(control(link, kind, *counts))
            (error,) = read(link.server)
            assert type(error) is ProtocolError
            assert "4 items have been handed out, but only 3 sent" in str(error)


class TestResuming:
    def resume(self, link: Link) -> tuple[list[Any], list[Any]]:
        """Connect again; what the two ends hear beyond the fact that the session goes on."""
        server, client = link.server, link.client
        link.reconnect()
        at_server, at_client = link.carry()
        assert at_server.pop(0) == _server_session.Resumed(server)
        assert at_client.pop(0) == _client_session.Resumed()
        assert link.server is server
        assert link.client is client
        return at_server, at_client

    def test_brings_back_the_window_and_the_credit(self) -> None:
        link = opened(prefetch=3)
        send(link, "a")
        for text in "xy":
            answer(link, text)
        link.carry()
        link.cut()
        assert link.server.credit == 0
        at_server, at_client = self.resume(link)
        assert (at_server, at_client) == ([Credited()], [])
        assert link.server.credit == 2
        assert link.client.credit == 254

    def test_repeats_items_that_have_not_arrived(self) -> None:
        link = opened()
        send(link, "a")
        link.carry()
        send(link, "b")
        send(link, "c", attempt=3)
        link.server.data_to_send()  # into the void
        send(link, "d")
        link.cut()
        _, at_client = self.resume(link)
        (first,) = at_client
        assert isinstance(first, _client_session.Arrived)
        assert (first.first, first.values) == (1, ["b", "c", "d"])
        assert first.tickets[12:24] == struct.pack("<QI", 1001, 3)
        settle(link, [0, 1, 2, 3])
        link.carry()
        assert link.server.settled == 4

    def test_repeats_no_item_that_has_arrived(self) -> None:
        link = opened()
        send(link, "arrives")
        link.carry()
        send(link, "is lost")
        link.cut()
        link.reconnect()
        at_server: list[Any] = []
        deliver(link.client, link.server, at_server)
        (resumed,) = at_server
        data = b"".join(resumed.session.data_to_send())
        assert (data.count(b"arrives"), data.count(b"is lost")) == (0, 1)

    def test_repeats_no_item_that_is_settled(self) -> None:
        link = opened()
        for text in "abc":
            send(link, text)
        link.carry()
        settle(link, [1])
        link.carry()
        link.cut()
        _, at_client = self.resume(link)
        assert items_of(at_client) == []
        assert texts(link.server.outstanding.values()) == ["a", "c"]

    def test_repeats_results_and_settlements_that_have_not_arrived(self) -> None:
        link = opened()
        for text in "abcd":
            send(link, text)
        link.carry()
        settle(link, [0], "A")
        link.carry()
        settle(link, [1], "B", "BB")
        answer(link, "nobody's")
        link.client.give_back(Outcome.FAILED, [2], "why")
        link.client.data_to_send()  # into the void
        link.cut()
        at_server, _ = self.resume(link)
        arrived, given_back = at_server[:2]
        assert results_of([arrived]) == ["B", "BB", "nobody's"]
        assert isinstance(given_back, GivenBack)
        assert (texts(given_back.items), given_back.reason) == (["c"], "why")
        assert texts(link.server.outstanding.values()) == ["d"]
        assert (link.server.settled, link.server.results, link.server.blamed) == (2, 4, 1)

    def test_repeats_nothing_that_has_arrived_even_if_it_was_not_confirmed(self) -> None:
        link = opened()
        send(link, "a")
        link.carry()
        settle(link, [0], "A")
        answer(link, "B")
        link.carry()
        assert link.client.unconfirmed == 2
        link.cut()
        at_server, _ = self.resume(link)
        assert at_server == [Credited()]
        assert link.client.unconfirmed == 0
        assert link.server.results == 2

    def test_frames_that_have_been_seen_are_dropped(self) -> None:
        link = opened()
        send(link, "a")
        send(link, "b")
        twice = b"".join(link.server.data_to_send())
        link.client.feed(twice + twice)
        assert items_of(read(link.client)) == ["a", "b"]
        settle(link, [0], "A")
        answer(link, "B")
        twice = b"".join(link.client.data_to_send())
        link.server.feed(twice + twice)
        assert results_of(read(link.server)) == ["A", "B"]
        assert link.server.settled == 1

    def test_what_is_settled_while_there_is_no_connection_is_said_on_the_next(self) -> None:
        link = opened()
        for text in "ab":
            send(link, text)
        link.carry()
        link.cut()
        settle(link, [0], "A")
        answer(link, "B")
        link.client.give_back(Outcome.RETURNED, [1], "")
        assert not link.client.pending
        at_server, _ = self.resume(link)
        assert results_of(at_server[:1]) == ["A", "B"]
        assert not link.server.outstanding

    def test_more_is_not_sent_than_there_was_credit_for(self) -> None:
        link = opened(result_window=4)
        link.cut()
        for text in "abcd":
            assert link.client.credit
            answer(link, text)
        assert not link.client.credit
        at_server, _ = self.resume(link)
        assert results_of(at_server[:1]) == ["a", "b", "c", "d"]

    def test_may_be_cut_short_itself(self) -> None:
        link = opened()
        send(link, "a")
        answer(link, "A")
        link.cut()
        for _ in range(3):
            link.reconnect()
            events: list[Any] = []
            deliver(link.client, link.server, events)
            (resumed,) = events
            link.server = resumed.session
            link.server.data_to_send()  # into the void
            link.cut()
        at_server, at_client = self.resume(link)
        assert results_of(at_server[:1]) == ["A"]
        assert items_of(at_client[:1]) == ["a"]

    def test_of_a_session_whose_client_never_heard_of_it_begins_it(self) -> None:
        link = link_of()
        deliver(link.client, link.server, [])
        link.server.data_to_send()  # into the void
        link.cut()
        link.reconnect()
        at_server, at_client = link.carry()
        assert at_server == [Opened(), Credited()]
        assert at_client == [Opened()]

    def test_says_nothing_of_the_session_before_it_is_known_to_go_on(self) -> None:
        link = opened()
        for text in "ab":
            send(link, text)
        link.carry()
        hand_out(link, 2)
        link.client.ping()
        link.cut()
        link.client.want(100)
        assert not link.client.pending
        link.reconnect()
        events: list[Any] = []
        deliver(link.client, link.server, events)  # and is not refused for more than a HELLO
        assert [type(event) for event in events] == [_server_session.Resumed]

    def test_announcements_count_from_the_next_connection_on(self) -> None:
        link = opened()
        for text in "abc":
            send(link, text)
        link.carry()
        link.cut()
        hand_out(link, 2)
        self.resume(link)
        suspects, others = link.server.surrender()
        assert (texts(suspects), texts(others)) == (["a", "b", "c"], [])

    def test_at_a_frame_that_was_never_sent_is_refused_by_the_server(self) -> None:
        link = opened()
        send(link, "a")
        link.carry()
        link.cut()
        link.client.received = 2
        link.reconnect()
        at_server, at_client = link.carry()
        (error,) = at_server
        assert type(error) is ProtocolError
        assert "2 items have arrived, but only 1 were sent" in str(error)
        assert isinstance(at_client[-1], ProtocolError)

    @pytest.mark.parametrize("received", [None, 0, 5])
    def test_at_a_frame_that_makes_no_sense_is_refused_by_the_client(
        self, received: int | None
    ) -> None:
        link = opened(result_window=4)
        for text in "ab":
            answer(link, text)
        link.carry()
        assert link.client.confirmed == 2
        link.cut()
        link.client.start()
        link.client.data_to_send()
        hello = msgspec.structs.replace(link.server_wiring.hello, resumed=True, received=received)
        link.client.feed(frame(link, bytes([Kind.HELLO]) + hello.pack()))
        (error,) = read(link.client)
        assert type(error) is ProtocolError
        assert f"the server resumes a session at frame {received}" in str(error)


class TestEpochs:
    def test_grow_with_each_connection(self) -> None:
        link = opened()
        for epoch in range(1, 5):
            assert link.client.epoch == link.server.epoch == epoch
            assert link.client.begun == link.server.begun == 1
            link.cut()
            link.reconnect()
            link.carry()

    def test_a_newer_one_replaces_a_connection_that_the_server_believes_in(self) -> None:
        link = opened()
        send(link, "a")
        link.cut(noticed=False)
        link.reconnect()
        at_server, at_client = link.carry()
        assert isinstance(at_server[0], _server_session.Resumed)
        assert items_of(at_client) == ["a"]
        assert link.server.credit == 7

    @pytest.mark.parametrize("epoch", [0, 2, 3])
    def test_an_older_one_is_refused_and_harms_nobody(self, epoch: int) -> None:
        link = opened()
        for _ in range(2):
            link.cut()
            link.reconnect()
            link.carry()
        session = link.server
        hello = msgspec.structs.replace(
            link.client_wiring.hello, session=link.client.id, epoch=epoch, begun=1, received=0
        )
        link.cut(noticed=False)
        link.reconnect()
        stranger = link.server
        stranger.feed(frame(link, bytes([Kind.HELLO]) + hello.pack()))
        (error,) = read(stranger)
        assert type(error) is HandshakeError
        assert "this session has a newer connection" in str(error)
        assert session.opened
        assert not session.over
        assert session.epoch == 3


class TestFencing:
    """The server has given up the session; the client is told when it comes back."""

    def come_back(self, link: Link) -> tuple[list[Any], list[Any]]:
        """Cut, have the server give the session up, and connect again."""
        old = link.server
        link.cut()
        link.forget()
        link.reconnect()
        at_server, at_client = link.carry()
        assert at_server.pop(0) == Opened()
        assert at_client.pop(0) == Fenced(0)
        assert link.server is not old
        assert link.server.id == link.client.id
        return at_server, at_client

    def test_begins_a_new_session(self) -> None:
        link = opened()
        for text in "abc":
            send(link, text)
        hand_out(link, 2)
        settle(link, [0], "A")
        link.carry()
        at_server, at_client = self.come_back(link)
        assert (at_server, at_client) == ([Credited()], [])
        assert link.server.credit == 0  # until the client says what it wants
        link.client.want(8)
        link.carry()
        assert link.server.credit == 8
        send(link, "d")
        _, (arrived,) = link.carry()
        assert isinstance(arrived, _client_session.Arrived)
        assert (arrived.first, arrived.values) == (0, ["d"])
        settle(link, [0], "D")
        at_server, _ = link.carry()
        assert results_of(at_server) == ["D"]
        assert link.server.settled == 1

    def test_the_items_of_the_old_one_are_the_servers(self) -> None:
        link = opened()
        for text in "abc":
            send(link, text)
        link.carry()
        old = link.server
        self.come_back(link)
        suspects, others = old.surrender()
        assert (texts(suspects), texts(others)) == (["a"], ["b", "c"])
        assert not link.server.outstanding

    def test_settlements_are_void_results_of_nobody_are_sent_again(self) -> None:
        link = opened()
        for text in "abc":
            send(link, text)
        link.carry()
        answer(link, "first")
        settle(link, [0], "A")
        link.client.give_back(Outcome.FAILED, [1], "")
        link.client.data_to_send()  # into the void
        answer(link, "second")
        settle(link, [2])
        at_server, _ = self.come_back(link)
        assert results_of(at_server[:1]) == ["first", "second"]
        assert (link.server.settled, link.server.blamed) == (0, 0)
        assert link.client.credit == 254

    def test_what_had_arrived_is_not_sent_again(self) -> None:
        link = opened()
        answer(link, "first")
        link.carry()
        assert link.client.unconfirmed == 1
        answer(link, "second")
        at_server, _ = self.come_back(link)
        assert results_of(at_server[:1]) == ["second"]

    def test_a_server_that_knows_nothing_gets_whatever_was_not_confirmed(self) -> None:
        link = opened(result_window=8)
        for text in "ab":
            answer(link, text)
        link.carry()
        assert link.client.confirmed == 2
        answer(link, "c")
        link.carry()
        link.cut()
        link.forget(restarted=True)
        link.reconnect()
        at_server, at_client = link.carry()
        assert at_client == [Fenced(0)]
        assert results_of(at_server) == ["c"]

    def test_of_a_new_session_that_it_has_not_heard_of_a_client_does_not_speak(self) -> None:
        link = opened()
        for text in "ab":
            send(link, text)
        link.carry()
        answer(link, "first")
        link.carry()
        answer(link, "second")
        settle(link, [1], "B")
        link.cut()
        link.forget()
        for _ in range(3):  # the server begins it, and deals, but its answer is lost
            link.reconnect()
            deliver(link.client, link.server, [])
            for text in "cd":
                send(link, text)
            link.server.data_to_send()
            link.cut()
        link.reconnect()
        at_server, at_client = link.carry()
        assert at_client == [Fenced(0)]
        assert at_server[0] == Opened()
        assert results_of(at_server) == ["second"]  # no more: the server knows of the first
        assert not link.server.outstanding
        assert link.client.begun == link.server.begun == link.client.epoch == 5

    def test_results_are_sent_again_only_once(self) -> None:
        link = opened()
        answer(link, "x")
        link.client.data_to_send()  # into the void
        at_server, _ = self.come_back(link)
        assert results_of(at_server[:1]) == ["x"]
        at_server, _ = self.come_back(link)
        assert at_server == [Credited()]

    def test_an_end_that_was_said_is_said_again(self) -> None:
        link = opened()
        answer(link, "x")
        link.client.close("broken")
        at_server, _ = self.come_back(link)
        assert results_of(at_server[:1]) == ["x"]
        assert Closed("broken") in at_server
        assert not link.server.receiving

    def test_a_client_that_has_left_does_not_come_back_for_more(self) -> None:
        link = opened()
        link.client.leave()
        link.client.close()
        at_server, at_client = self.come_back(link)
        assert Left([]) in at_server
        assert link.server.credit == 0
        assert at_client == [Bye()]


class TestEnd:
    def test_close_both_ways_then_bye(self) -> None:
        link = opened()
        send(link, "a")
        link.server.close()
        _, at_client = link.carry()
        assert items_of(at_client) == ["a"]
        assert at_client[-1] == Closed("")
        settle(link, [0], "A")
        answer(link, "that was all")
        link.client.close()
        at_server, at_client = link.carry()
        assert results_of(at_server) == ["A", "that was all"]
        assert at_server[-1] == Closed("")
        assert at_client[-1] == Bye()
        assert link.server.finished
        assert link.client.finished

    def test_bye_waits_for_the_last_settlement(self) -> None:
        link = opened()
        for text in "ab":
            send(link, text)
        link.server.close()
        link.client.close()
        link.carry()
        link.client.settle([0], [], 0)
        link.carry()
        assert not link.server.finished
        link.client.give_back(Outcome.RETURNED, [1], "")
        _, at_client = link.carry()
        assert at_client == [Bye()]

    def test_bye_is_the_last_word(self) -> None:
        link = opened()
        link.server.close()
        link.client.close()
        link.carry()
        for end in (link.server, link.client):
            end.ping()
            end.close()
            end.feed(frame(link, b"\x63"))
            assert read(end) == []
            assert not end.pending

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
        assert items_of(at_client) == ["a"]
        assert not link.server.finished

    def test_leaving_gives_back_what_was_not_handed_out(self) -> None:
        link = opened()
        for text in "abc":
            send(link, text)
        link.carry()
        hand_out(link, 1)
        send(link, "d")  # crosses the LEAVE
        link.client.leave()
        settle(link, [0], "A")
        link.client.close()
        at_server, at_client = link.carry()
        left, arrived, closed = at_server
        assert closed == Closed("")
        assert isinstance(left, Left)
        assert texts(left.items) == ["b", "c", "d"]
        assert results_of([arrived]) == ["A"]
        assert at_client == [Bye()]
        assert link.server.settled == 1

    def test_a_client_that_has_left_is_sent_nothing_but_settles_what_it_holds(self) -> None:
        link = opened()
        for text in "abc":
            send(link, text)
        link.carry()
        hand_out(link, 2)
        link.client.leave()
        link.client.close()
        link.carry()
        assert link.server.credit == 0
        assert texts(link.server.outstanding.values()) == ["a", "b"]
        settle(link, [0])
        settle(link, [1])
        _, at_client = link.carry()
        assert at_client == [Bye()]
        assert link.server.surrender() == ([], [])

    def test_leaving_twice_is_leaving_once(self) -> None:
        link = opened()
        for text in "ab":
            send(link, text)
        link.carry()
        hand_out(link, 1)
        link.client.leave()
        link.client.leave()
        at_server, _ = link.carry()
        assert [type(event) for event in at_server] == [Left]
        # A repeated frame, which may say less, gives nothing more back.
        link.server.feed(control(link, Kind.LEAVE, 0))
        assert read(link.server) == []
        assert texts(link.server.outstanding.values()) == ["a"]

    def test_close_and_leave_may_cross(self) -> None:
        link = opened()
        link.server.close()
        link.client.leave()
        link.client.close()
        at_server, at_client = link.carry()
        assert Left([]) in at_server
        assert at_client == [Closed(""), Bye()]

    @pytest.mark.parametrize(
        ("server", "client"), [((str, None), (None, str)), ((None, str), (str, None))]
    )
    def test_one_direction_only(self, server: Any, client: Any) -> None:
        link = opened(server, client)
        link.server.close()
        link.client.close()
        _, at_client = link.carry()
        assert Bye() in at_client

    def test_an_item_after_close_is_refused(self) -> None:
        link = opened()
        link.server.close()
        link.carry()
        link.client.feed(frame(link, bytes([Kind.ITEM]) + bytes(20) + b"\xa1a"))
        (error,) = read(link.client)
        assert isinstance(error, ProtocolError)
        assert "an item after CLOSE" in str(error)

    def test_a_farewell_in_words(self) -> None:
        link = opened()
        link.server.refuse(ConnectionLost("the server has closed"))
        (event,) = deliver_all(link)
        assert type(event) is ConnectionLost
        assert str(event) == "the server has closed"
        assert link.client.pending == 0


class TestEndOfAResumedSession:
    """What has been said is said again on the next connection, and heard once."""

    def again(self, link: Link) -> tuple[list[Any], list[Any]]:
        link.cut()
        link.reconnect()
        at_server, at_client = link.carry()
        assert isinstance(at_server.pop(0), _server_session.Resumed)
        assert at_client.pop(0) == _client_session.Resumed()
        return at_server, at_client

    def test_close(self) -> None:
        link = opened()
        send(link, "a")
        answer(link, "A")
        link.server.close("enough")
        link.client.close("me, too")
        for end in (link.server, link.client):
            end.data_to_send()  # into the void
        at_server, at_client = self.again(link)
        assert results_of(at_server[:1]) == ["A"]
        assert Closed("me, too") in at_server
        assert items_of(at_client[:1]) == ["a"]
        assert Closed("enough") in at_client
        for events in self.again(link):  # both have heard it
            assert not [event for event in events if isinstance(event, Closed)]

    def test_close_while_there_is_no_connection(self) -> None:
        link = opened()
        link.cut()
        link.server.close()
        link.client.close()
        at_server, at_client = self.again(link)
        assert Closed("") in at_server
        assert Closed("") in at_client
        assert at_client[-1] == Bye()

    def test_leave(self) -> None:
        link = opened()
        for text in "abc":
            send(link, text)
        link.carry()
        hand_out(link, 1)
        link.client.leave()
        link.client.data_to_send()  # into the void
        at_server, at_client = self.again(link)
        (left,) = (event for event in at_server if isinstance(event, Left))
        assert texts(left.items) == ["b", "c"]
        assert items_of(at_client) == []
        at_server, at_client = self.again(link)
        assert not [event for event in at_server if isinstance(event, Left)]
        assert link.server.credit == 0
        link.client.give_back(Outcome.RETURNED, [0], "")
        link.client.close()
        _, at_client = link.carry()
        assert at_client == [Bye()]

    def test_leave_while_there_is_no_connection(self) -> None:
        link = opened()
        for text in "ab":
            send(link, text)
        link.cut()
        link.client.leave()
        link.client.close()
        at_server, at_client = self.again(link)
        (left,) = (event for event in at_server if isinstance(event, Left))
        assert texts(left.items) == ["a", "b"]
        assert items_of(at_client) == []  # they were repeated, but are not wanted
        assert at_client[-1] == Bye()

    def test_bye(self) -> None:
        link = opened()
        send(link, "a")
        link.carry()
        settle(link, [0], "A")
        link.server.close()
        link.client.close()
        deliver(link.server, link.client, [])
        deliver(link.client, link.server, [])
        assert link.server.finished
        link.server.data_to_send()  # into the void
        at_server, at_client = self.again(link)
        assert at_server == []
        assert at_client[-1] == Bye()
        assert not link.client.unconfirmed


class TestSignsOfLife:
    def test_a_question_is_answered(self) -> None:
        link = opened()
        for asking, asked in ((link.server, link.client), (link.client, link.server)):
            asking.ping()
            heard: list[Event | DistchanError] = []
            deliver(asking, asked, heard)
            pong = b"".join(asked.data_to_send())
            assert pong == frame(link, bytes([Kind.PONG]))
            asking.feed(pong)
            assert read(asking) == heard == []
            assert not asking.pending

    def test_nobody_asks_before_the_handshake(self) -> None:
        link = link_of()
        link.server.ping()
        assert not link.server.pending

    def test_a_peer_that_reads_nothing_gets_no_more_answers(self) -> None:
        link = opened(prefetch_bytes=1 << 22)
        for _ in range(3):
            send(link, "x" * (1 << 19))
        pending = link.server.pending
        link.server.feed(frame(link, bytes([Kind.PING])) * 100)
        assert read(link.server) == []
        assert link.server.pending == pending


class TestDeliveryAtMostOnce:
    def opened(self, **options: Any) -> Link:
        return opened(delivery="at-most-once", **options)

    def hand_out(self, link: Link, count: int = 1) -> None:
        for _ in range(count):
            link.client.handed += 1
            link.client.confirm_handed()

    def test_an_item_is_settled_when_it_is_handed_out(self) -> None:
        link = self.opened(window=2)
        for text in "ab":
            send(link, text)
        link.carry()
        assert link.server.credit == 0
        self.hand_out(link)
        link.carry()
        assert link.server.settled == 1
        assert texts(link.server.outstanding.values()) == ["b"]
        assert link.server.credit == 1

    def test_not_each_is_worth_a_frame(self) -> None:
        link = self.opened()
        for _ in range(8):
            send(link, "x")
        link.carry()
        self.hand_out(link)
        assert not link.client.pending
        self.hand_out(link)
        assert link.client.pending
        link.carry()
        self.hand_out(link, 5)
        link.carry()
        self.hand_out(link)  # the last one at hand
        link.carry()
        assert link.server.settled == 8

    def test_more_than_was_wanted_is_refused(self) -> None:
        link = self.opened(window=2)
        for text in "ab":
            send(link, text)
        link.carry()
        self.hand_out(link)
        send(link, "c")
        _, at_client = link.carry()
        assert items_of(at_client) == ["c"]
        send(link, "d")
        _, at_client = link.carry()
        assert isinstance(at_client[-1], ProtocolError)

    def test_only_what_nobody_has_collected_goes_to_others(self) -> None:
        link = self.opened()
        send(link, "a")
        link.server.data_to_send()
        send(link, "b")
        assert texts(link.server.surrender_unsent()) == ["b"]
        assert not link.server.outstanding

    def test_what_a_leaving_client_gives_back_is_not_unsent_as_well(self) -> None:
        link = self.opened()
        link.client.leave()
        send(link, "a")  # stays here: the client reads no more
        at_server: list[Any] = []
        deliver(link.client, link.server, at_server)
        (left,) = at_server
        assert texts(left.items) == ["a"]
        assert link.server.surrender_unsent() == []

    @pytest.mark.parametrize("forgotten", [True, False])
    def test_results_that_were_on_their_way_are_lost_and_counted(self, forgotten: bool) -> None:
        link = self.opened()
        answer(link, "arrives")
        link.carry()
        answer(link, "is lost")
        link.client.data_to_send()  # into the void
        answer(link, "is sent again")
        link.cut()
        assert link.client.credit == 0  # what is sent now waits outside
        if forgotten:
            link.forget()  # else the server has not noticed; but nothing is resumed here
        link.reconnect()
        at_server, at_client = link.carry()
        assert at_client == [Fenced(1)]
        assert results_of(at_server[1:2]) == ["is sent again"]
