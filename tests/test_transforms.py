"""Codec and transforms combined, and the probe that tells whether the peer's are the same."""

from collections.abc import Sequence
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from distchan._payloads import PROBE, PayloadEncoder, check_probe, decoder, make_probe
from distchan._wire import CONTROL_LIMIT
from distchan.codecs import resolve
from distchan.errors import EncodeError, FrameTooLarge
from distchan.transforms import AESGCM, Transform, Zlib

LIMIT = 1_000_000
MSGPACK = resolve("msgpack", Any)


KEY, OTHER_KEY = bytes(32), bytes([1] * 32)


class Fernets:
    """Encryption whose outcome differs each time."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)

    def encode(self, data: bytes, /) -> bytes:
        return self._fernet.encrypt(data)

    def decode(self, data: bytes, /) -> bytes:
        return self._fernet.decrypt(data)


class Tagged:
    """Puts a mark in front and insists on it."""

    def __init__(self, mark: bytes) -> None:
        self.mark = mark

    def encode(self, data: bytes, /) -> bytes:
        return self.mark + data

    def decode(self, data: bytes, /) -> bytes:
        if not data.startswith(self.mark):
            raise ValueError("another mark")
        return data[len(self.mark) :]


class Failing:
    """Raises what it is given, or returns it if it is no exception."""

    name = "failing"

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    def encode(self, item: Any, /) -> Any:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    decode = encode


@given(
    st.lists(st.integers(0, 2**40)),
    st.lists(st.sampled_from([Zlib(), AESGCM(KEY), Tagged(b"a"), Tagged(b"bc")]), max_size=4),
)
def test_what_is_encoded_decodes(item: list[int], transforms: list[Transform]) -> None:
    data = PayloadEncoder(MSGPACK, transforms, LIMIT).encode(item)
    assert decoder(MSGPACK.decode, transforms)(data) == item


def test_transforms_are_applied_in_order() -> None:
    transforms = [Tagged(b"a"), Tagged(b"b")]
    assert PayloadEncoder(resolve("raw", bytes), transforms, LIMIT).encode(b"x") == b"bax"


def test_without_transforms_the_decoder_is_the_codecs_own() -> None:
    assert decoder(MSGPACK.decode, ()) == MSGPACK.decode


def test_later_changes_of_the_list_change_nothing() -> None:
    transforms: list[Transform] = [Tagged(b"a")]
    encode, decode = (
        PayloadEncoder(MSGPACK, transforms, LIMIT).encode,
        decoder(MSGPACK.decode, transforms),
    )
    transforms.append(Tagged(b"b"))
    assert encode(1) == b"a\x01"
    assert decode(b"a\x01") == 1


# --- encoding errors ------------------------------------------------------------------------------


def test_an_error_of_the_codec_becomes_an_encode_error() -> None:
    with pytest.raises(EncodeError, match=r"codec 'msgpack' cannot encode .* of type complex") as e:
        PayloadEncoder(MSGPACK, (), LIMIT).encode(1j)
    assert isinstance(e.value.__cause__, TypeError)


def test_an_error_of_a_transform_names_the_transform() -> None:
    cause = KeyError("no key")
    transforms: list[Transform] = [Tagged(b"a"), Failing(cause), Tagged(b"b")]
    with pytest.raises(EncodeError, match=r"transform Failing cannot encode .* type list") as e:
        PayloadEncoder(MSGPACK, transforms, LIMIT).encode([1])
    assert e.value.__cause__ is cause


@pytest.mark.parametrize("outcome", [None, "text", bytearray(b"x"), memoryview(b"x")])
def test_only_bytes_count_as_encoded(outcome: object) -> None:
    with pytest.raises(EncodeError, match=r"codec 'failing' .* returned \w+ instead of bytes"):
        PayloadEncoder(Failing(outcome), (), LIMIT).encode(1)
    with pytest.raises(EncodeError, match=r"codec 'failing' .* returned \w+ instead of bytes"):
        PayloadEncoder(Failing(outcome), [Tagged(b"a")], LIMIT).encode(1)
    with pytest.raises(EncodeError, match=r"transform Failing .* returned \w+ instead of bytes"):
        PayloadEncoder(MSGPACK, [Failing(outcome)], LIMIT).encode(1)


@pytest.mark.parametrize("error", [EncodeError("as it is"), FrameTooLarge("as it is")])
def test_errors_that_say_it_already_pass(error: Exception) -> None:
    for encode in (
        PayloadEncoder(Failing(error), (), LIMIT).encode,
        PayloadEncoder(MSGPACK, [Failing(error)], LIMIT).encode,
    ):
        with pytest.raises(type(error)) as caught:
            encode(1)
        assert caught.value is error


def test_what_is_no_exception_passes() -> None:
    with pytest.raises(KeyboardInterrupt):
        PayloadEncoder(Failing(KeyboardInterrupt()), (), LIMIT).encode(1)


def test_the_limit_is_the_largest_size() -> None:
    encode = PayloadEncoder(resolve("raw", bytes), (), 10).encode
    assert encode(bytes(10)) == bytes(10)
    with pytest.raises(FrameTooLarge, match=r"11 bytes.*max_frame_size is 10$"):
        encode(bytes(11))


def test_the_limit_is_for_what_leaves_the_last_transform() -> None:
    raw = resolve("raw", bytes)
    assert len(PayloadEncoder(raw, [Zlib()], 100).encode(bytes(10_000))) <= 100
    with pytest.raises(FrameTooLarge):
        PayloadEncoder(raw, [Tagged(bytes(8))], 10).encode(b"abc")


# --- decoding errors ------------------------------------------------------------------------------


def test_decoding_errors_pass_as_they_are() -> None:
    with pytest.raises(ValueError, match="another mark"):
        decoder(MSGPACK.decode, [Tagged(b"a")])(b"b\x01")
    with pytest.raises(ZeroDivisionError):
        decoder(Failing(ZeroDivisionError()).decode, [Tagged(b"a")])(b"a")


def test_a_transform_must_decode_to_bytes() -> None:
    with pytest.raises(TypeError, match=r"Failing\.decode returned bytearray instead of bytes"):
        decoder(MSGPACK.decode, [Failing(bytearray(b"\x01"))])(b"\x01")


# --- the probe ------------------------------------------------------------------------------------

FERNET_KEYS = [Fernet.generate_key(), Fernet.generate_key()]
SETTINGS: list[list[Transform]] = [
    [],
    [Zlib()],
    [AESGCM(KEY)],
    [AESGCM(OTHER_KEY)],
    [Fernets(FERNET_KEYS[0])],
    [Fernets(FERNET_KEYS[1])],
    [Tagged(b"a")],
    [Tagged(b"b")],
    [Zlib(), AESGCM(KEY)],
    [AESGCM(KEY), Zlib()],
    [Tagged(b"a"), Tagged(b"b")],
    [Tagged(b"b"), Tagged(b"a")],
]


@pytest.mark.parametrize("theirs", range(len(SETTINGS)))
@pytest.mark.parametrize("ours", range(len(SETTINGS)))
def test_a_probe_passes_exactly_with_the_same_transforms(ours: int, theirs: int) -> None:
    assert check_probe(SETTINGS[ours], make_probe(SETTINGS[theirs])) == (ours == theirs)


def test_without_transforms_the_probe_is_plain() -> None:
    assert make_probe(()) == PROBE


@given(st.binary())
def test_no_other_bytes_pass(received: bytes) -> None:
    for transforms in ([], [Zlib()], [AESGCM(KEY)]):
        assert not check_probe(transforms, received)


def test_a_prefix_or_more_than_the_probe_does_not_pass() -> None:
    assert not check_probe((), PROBE[:-1])
    assert not check_probe((), PROBE + b"\0")


@pytest.mark.parametrize("outcome", [RuntimeError("bad"), "text", None])
def test_a_transform_that_fails_on_the_probe_is_a_mismatch(outcome: object) -> None:
    assert not check_probe([Failing(outcome)], PROBE)


def test_a_probe_that_cannot_be_made_raises() -> None:
    with pytest.raises(EncodeError, match="transform Failing"):
        make_probe([Failing(ValueError())])


def test_a_probe_fits_a_control_frame() -> None:
    every: Sequence[Transform] = [Zlib(), AESGCM(KEY), Fernets(FERNET_KEYS[0])]
    assert len(make_probe(every)) < CONTROL_LIMIT // 8
