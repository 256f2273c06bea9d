"""``distchan.gob``: types, names, limits, streams that go on, and bytes that are no gob."""

import contextlib
import dataclasses
import itertools
import pickle
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, NewType, TypedDict

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distchan import gob
from distchan.codecs import resolve
from distchan.errors import DecodeError, EncodeError
from tests.gob_types import VECTOR_REGISTRY, Held, Many, Nested, Point, Tree


class Item(msgspec.Struct):
    id: gob.Int8 = 0


@dataclasses.dataclass
class Job:
    items: list[Item]


def uint(value: int) -> bytes:
    """A number as gob has it, independently of the code under test."""
    if value < 128:
        return bytes([value])
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes([256 - len(data)]) + data


def sint(value: int) -> bytes:
    return uint(~value << 1 | 1 if value < 0 else value << 1)


def message(content: bytes) -> bytes:
    return uint(len(content)) + content


def slice_of(type_id: int, elem: int) -> bytes:
    """The message that defines a slice."""
    common = b"\x02" + sint(type_id) + b"\x00"
    return message(sint(-type_id) + b"\x02\x01" + common + b"\x01" + sint(elem) + b"\x00\x00")


def struct_of(type_id: int, fields: dict[str, int]) -> bytes:
    common = b"\x02" + sint(type_id) + b"\x00"
    listed = b"".join(
        b"\x01" + uint(len(name)) + name.encode() + b"\x01" + sint(field_type) + b"\x00"
        for name, field_type in fields.items()
    )
    content = b"\x03\x01" + common + b"\x01" + uint(len(fields)) + listed + b"\x00\x00"
    return message(sint(-type_id) + content)


INT, INTERFACE = 2, 8

# --- Types and names ------------------------------------------------------------------------------


class Renamed(msgspec.Struct, rename="camel"):
    user_id: int
    last_name: str = msgspec.field(name="Surname", default="")


@dataclasses.dataclass
class Explicit:
    key: int = dataclasses.field(metadata={"gob": "ID"})
    URL: str
    other: Annotated[int, gob.Name("OtherID")]


class KeywordOnly(msgspec.Struct, kw_only=True):
    a: int
    b: list[int]


@dataclasses.dataclass(frozen=True)
class Computed:
    a: int
    double: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "double", self.a * 2)


class Total(TypedDict, total=False):
    a: int
    user_name: str


UserId = NewType("UserId", int)


class Mixed(NamedTuple):
    user: UserId
    raw: bytearray
    small: list[gob.UInt8]
    pair: tuple[float, float]
    many: tuple[str, ...]


@pytest.mark.parametrize(
    ("item_type", "value", "names"),
    [
        (Renamed, Renamed(1, "x"), {"UserId": 1, "Surname": "x"}),
        (Explicit, Explicit(1, "u", 2), {"ID": 1, "URL": "u", "OtherID": 2}),
        (KeywordOnly, KeywordOnly(a=1, b=[2]), {"A": 1, "B": [2]}),
        (Computed, Computed(3), {"A": 3, "Double": 6}),
        (Total, {"a": 1, "user_name": "n"}, {"A": 1, "UserName": "n"}),
        (
            Mixed,
            Mixed(UserId(1), bytearray(b"a"), [1, 255], (0.5, 1.0), ("a", "")),
            {"User": 1, "Raw": b"a", "Small": b"\x01\xff", "Pair": (0.5, 1.0), "Many": ["a", ""]},
        ),
    ],
)
def test_values_come_back_and_have_go_names(item_type: Any, value: Any, names: Any) -> None:
    data = gob.dumps(value, item_type)
    assert gob.loads(data, item_type) == value
    assert type(gob.loads(data, item_type)) is type(value)
    assert gob.loads(data) == names


@pytest.mark.parametrize(
    ("item_type", "words"),
    [
        (None, "gob has no type for None"),
        (set[int], "gob has no type for set"),
        (Decimal, "gob has no type for Decimal"),
        (int | str, "gob has no unions such as int | str"),
        (tuple[int, str], "whose elements have one type"),
        (dict[bytes, int], "with bytes as a key"),
        (list[Decimal], "gob has no type for Decimal"),
    ],
)
def test_types_that_gob_does_not_have_are_refused_in_words(item_type: Any, words: str) -> None:
    for refuse in (gob.Encoder, gob.Decoder, lambda t: resolve("gob", t)):
        with pytest.raises(TypeError, match=words.replace("|", r"\|")):
            refuse(item_type)


def test_a_refusal_names_the_field() -> None:
    @dataclasses.dataclass
    class Bad:
        fine: int
        when: timedelta

    with pytest.raises(TypeError, match=r"Bad\.when: gob has no type for timedelta"):
        gob.Encoder(list[Bad])


def test_names_that_go_would_not_export_or_would_confuse_are_refused() -> None:
    class Digits(msgspec.Struct):
        _1: int

    class Same(msgspec.Struct):
        user_id: int
        UserId: int

    with pytest.raises(TypeError, match="begin with a capital"):
        gob.Encoder(Digits)
    with pytest.raises(TypeError, match="same name in Go"):
        gob.Encoder(Same)


class Endless(msgspec.Struct):
    me: "Endless"


def test_a_struct_cannot_contain_itself_directly() -> None:
    with pytest.raises(TypeError, match="Endless contains itself"):
        gob.Encoder(Endless)


class Sent(msgspec.Struct):
    user_id: int
    USERNAME: str
    extra: dict[str, list[Point]]
    count: int


class Received(msgspec.Struct):
    UserID: int
    user_name: str
    added: list[str] = msgspec.field(default_factory=lambda: ["default"])
    limit: int = 7
    point: Point = Point(5, 5)
    count: int = 9
    zero: tuple[int, int] = (1, 1)


def test_fields_match_without_case_and_others_are_skipped_or_take_their_defaults() -> None:
    data = gob.dumps(Sent(1, "n", {"a": [Point(1, 2)]}, 0))
    received = gob.loads(data, Received)
    # Count was zero: that is why it was not sent.
    assert received == Received(1, "n", ["default"], 7, Point(5, 5), 0, (1, 1))
    assert gob.loads(data, Received).added is not received.added


class NoDefaults(msgspec.Struct):
    count: int
    a: int
    s: str
    numbers: list[int]
    array: tuple[int, int]
    point: Point
    maybe: Point | None
    when: datetime
    data: bytearray


def test_without_a_default_a_missing_field_is_zero() -> None:
    data = gob.dumps(Sent(1, "n", {}, 5))
    zero_time = datetime(1, 1, 1, tzinfo=UTC)
    expected = NoDefaults(5, 0, "", [], (0, 0), Point(), None, zero_time, bytearray())
    assert gob.loads(data, NoDefaults) == expected


def test_an_exact_name_goes_before_a_similar_one() -> None:
    class Wire(msgspec.Struct):
        ID: int
        Id: int

    class Python(msgspec.Struct):
        Id: int

    assert gob.loads(gob.dumps(Wire(1, 2)), Python).Id == 2


def test_types_without_a_common_field_do_not_fit() -> None:
    with pytest.raises(gob.GobDecodeError, match="no field of Item is in struct Point"):
        gob.loads(gob.dumps(Point(1, 2)), Item)


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        (int, gob.UInt),
        (gob.UInt, int),
        (int, float),
        (str, bytes),
        (list[int], list[str]),
        (list[int], tuple[int, int]),
        (tuple[int, int], tuple[int, int, int]),
        (dict[str, int], dict[int, int]),
        (Point, int),
    ],
)
def test_kinds_do_not_mix(sent: Any, wanted: Any) -> None:
    samples: dict[Any, Any] = {int: 1, gob.UInt: 1, str: "a", list[int]: [], Point: Point()}
    value = samples.get(sent, {} if "dict" in str(sent) else (1, 2))
    with pytest.raises(gob.GobDecodeError, match="does not fit"):
        gob.loads(gob.dumps(value, sent), wanted)


def test_widths_mix_as_long_as_the_values_fit() -> None:
    assert gob.loads(gob.dumps(127), gob.Int8) == 127
    with pytest.raises(gob.GobDecodeError, match="128 does not fit int8"):
        gob.loads(gob.dumps(128), gob.Int8)
    with pytest.raises(gob.GobDecodeError, match="65536 does not fit uint16"):
        gob.loads(gob.dumps(65536, gob.UInt), gob.UInt16)
    with pytest.raises(gob.GobDecodeError, match="does not fit float32"):
        gob.loads(gob.dumps(1e300), gob.Float32)


# --- Values that do not fit their type ------------------------------------------------------------


@pytest.mark.parametrize(
    ("item_type", "value", "words"),
    [
        (int, 2**63, "9223372036854775808 does not fit int64"),
        (int, 1 << 1000, "a number of 1001 bits does not fit int64"),
        (gob.Int8, -129, "-129 does not fit int8"),
        (gob.UInt, -1, "-1 does not fit uint64"),
        (gob.UInt8, 256, "256 does not fit uint8"),
        (int, "5", "an int is needed, not str"),
        (int, 5.0, "an int is needed, not float"),
        (bool, 1, "a bool is needed, not int"),
        (float, "1", "a float is needed, not str"),
        (float, 10**400, "too large for a float64"),
        (gob.Float32, 1e300, r"1e\+300 does not fit float32"),
        (complex, "1", "a complex is needed, not str"),
        (str, b"a", "a str is needed, not bytes"),
        (str, "\ud800", "no form in UTF-8"),
        (bytes, "a", "bytes is needed, not str"),
        (bytes, [256], "no list of uint8"),
        (list[int], {1}, "a list or tuple is needed, not set"),
        (list[int], [1, "a"], r"^\[1\]: an int is needed"),
        (tuple[int, int], (1,), "2 elements are needed, not 1"),
        (dict[str, int], [], "a dict is needed, not list"),
        (dict[str, int], {"k": None}, r"^\['k'\]: an int is needed"),
        (Point, Item(1), "^Point: Point is needed, not Item"),
        (Job, Job([Item(1), Item(300)]), r"^Job.items\[1\].id: 300 does not fit int8"),
        (list[Point | None], [None], "no nil pointer here"),
        (Point | None, None, "no nil pointer here"),
        (datetime, datetime(2024, 1, 1), "without a time zone"),  # noqa: DTZ001
        (Held, Held(Decimal(1)), r"^Held.value: Decimal has no name for interfaces"),
        (Any, None, "no value for None"),
        (Any, {1}, "gob has no type for set"),
    ],
)
def test_an_encode_error_says_where_and_leaves_the_encoder_as_it_was(
    item_type: Any, value: Any, words: str
) -> None:
    encoder = gob.Encoder(item_type, registry=VECTOR_REGISTRY)
    with pytest.raises(EncodeError, match=words) as caught:
        encoder.encode(value)
    assert isinstance(caught.value, gob.GobEncodeError)
    again = gob.Encoder(item_type, registry=VECTOR_REGISTRY)
    if item_type is Job:
        assert encoder.encode(Job([])) == again.encode(Job([]))
    if item_type is Held:
        assert encoder.encode(Held(Point())) == again.encode(Held(Point()))


def test_what_contains_itself_is_an_error() -> None:
    endless: list[Any] = []
    endless.append(endless)
    registry = gob.Registry()
    registry.register("[]interface {}", list[Any])
    with pytest.raises(EncodeError, match="or contains itself"):
        gob.dumps(endless, list[Any], registry=registry)
    tree = Tree("a")
    tree.kids.append(tree)
    with pytest.raises(EncodeError, match=r"Tree.kids\[0\].kids\[0\].*or contains itself"):
        gob.dumps(tree)


def test_errors_can_be_pickled() -> None:
    with pytest.raises(gob.GobDecodeError) as caught:
        gob.loads(gob.dumps({"Items": 1}, dict[str, int])[:-1])
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.offset, copy.path) == (
        str(caught.value),
        caught.value.offset,
        caught.value.path,
    )


def test_a_decode_error_says_where() -> None:
    Wide = dataclasses.make_dataclass("Wide", [("id", int)])  # noqa: N806
    Jobs = dataclasses.make_dataclass("Jobs", [("items", list[Wide])])  # type: ignore[valid-type]  # noqa: N806
    data = gob.dumps(Jobs([Wide(1), Wide(2), Wide(3), Wide(300)]))
    with pytest.raises(DecodeError) as caught:
        gob.loads(data, Job)
    assert isinstance(caught.value, gob.GobDecodeError)
    assert caught.value.path == "Job.Items[3].Id"
    assert caught.value.offset == data.index(uint(600))
    assert str(caught.value).startswith("Job.Items[3].Id: 300 does not fit int8 (at byte ")


# --- Streams --------------------------------------------------------------------------------------


def test_a_type_is_defined_once_per_stream() -> None:
    encoder, decoder = gob.Encoder(Point), gob.Decoder(Point)
    first, second = encoder.encode(Point(1, 2)), encoder.encode(Point(3, 4))
    assert second == message(sint(65) + b"\x01\x06\x01\x08\x00")
    assert [decoder.decode(first), decoder.decode(second)] == [Point(1, 2), Point(3, 4)]
    with pytest.raises(DecodeError, match="the type 65 is defined twice"):
        decoder.decode(first)
    with pytest.raises(DecodeError, match="the type 65 is not defined"):
        gob.Decoder(Point).decode(second)


def test_what_failed_leaves_no_definitions_within_older_types() -> None:
    """A slice whose elements are defined later, by a message that then fails."""
    decoder = gob.Decoder()
    assert decoder.decode(slice_of(65, 66) + message(sint(2) + b"\0" + sint(7))) == 7
    two_empty = message(sint(65) + b"\0" + uint(2) + uint(0) + uint(0))
    with pytest.raises(DecodeError):
        decoder.decode(slice_of(66, 2) + two_empty[:-1] + b"\x05")
    with pytest.raises(DecodeError, match="the type 66 is not defined"):
        decoder.decode(two_empty)
    assert decoder.decode(slice_of(66, 2) + two_empty) == [[], []]


def test_rollback_forgets_what_the_last_value_defined() -> None:
    encoder = gob.Encoder(Held, registry=VECTOR_REGISTRY)
    first = encoder.encode(Held(1))
    with_point = encoder.encode(Held(Point(1, 2)))
    encoder.rollback()
    encoder.rollback()  # once is enough
    assert encoder.encode(Held(Point(1, 2))) == with_point
    without = encoder.encode(Held(Point(1, 2)))
    encoder.rollback()  # there is nothing to forget
    assert encoder.encode(Held(Point(1, 2))) == without
    assert len(without) < len(with_point)
    encoder.reset()
    assert encoder.encode(Held(1)) == first


def test_a_failed_decode_leaves_the_decoder_as_it_was() -> None:
    decoder = gob.Decoder(Held, registry=VECTOR_REGISTRY)
    data = gob.dumps(Held(Many("m", [Point(1, 2)])), registry=VECTOR_REGISTRY)
    for size in range(len(data)):
        with pytest.raises(DecodeError):
            decoder.decode(data[:size])
    assert decoder.decode(data) == Held(Many("m", [Point(1, 2)]))


def test_the_first_id_is_an_option() -> None:
    assert gob.Encoder(Point, first_id=64).encode(Point()).endswith(message(sint(64) + b"\x00"))
    with pytest.raises(ValueError, match="begin at 64"):
        gob.Encoder(Point, first_id=63)


def test_what_follows_the_value_is_dropped_and_without_a_value_it_is_an_error() -> None:
    one, two = gob.dumps(1), gob.dumps(2)
    assert gob.loads(one + two + b"\xff") == 1
    assert list(gob.Decoder(int).decode_all(one + two)) == [1, 2]
    definitions_only = gob.Encoder(Point).send_definitions()
    for data in (b"", b"\x00", definitions_only):
        with pytest.raises(DecodeError, match="cut off"):
            gob.loads(data)


def test_the_rest_of_a_message_is_dropped() -> None:
    data = message(sint(INT) + b"\x00" + sint(7) + b"rest") + gob.dumps(8)
    assert list(gob.Decoder(int).decode_all(data)) == [7, 8]


def test_numbers_need_not_be_as_short_as_possible() -> None:
    for size in range(1, 9):
        data = bytes([256 - size]) + (14).to_bytes(size, "big")
        assert gob.loads(message(sint(INT) + b"\x00" + data)) == 7


# --- Interfaces and marshalers --------------------------------------------------------------------


def test_the_default_registry_is_that_of_the_module() -> None:
    class Registered(msgspec.Struct):
        n: int

    gob.register("tests.Registered", Registered)
    gob.register("tests.Registered", Registered)  # as before
    assert gob.loads(gob.dumps(Held(Registered(1))), Held) == Held(Registered(1))
    with pytest.raises(ValueError, match="another type already"):
        gob.register("tests.Registered", Point)
    with pytest.raises(ValueError, match=r"has the name 'tests\.Registered' already"):
        gob.register("tests.Other", Registered)


def test_a_name_that_is_not_registered_comes_as_its_definition_says() -> None:
    data = gob.dumps(Held([Point(1, 2)]), registry=VECTOR_REGISTRY)
    assert gob.loads(data, Held, registry=gob.Registry()) == Held([{"X": 1, "Y": 2}])


def test_skipped_interfaces_may_bring_definitions_that_are_needed_later() -> None:
    class Both(msgspec.Struct):
        skipped: Any
        point: Any

    class One(msgspec.Struct):
        point: Any

    data = gob.dumps(Both(Held(Held(Point(1, 2))), Point(3, 4)), registry=VECTOR_REGISTRY)
    assert gob.loads(data, One, registry=VECTOR_REGISTRY) == One(Point(3, 4))


class Celsius:
    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Celsius) and self.degrees == other.degrees

    __hash__ = None  # type: ignore[assignment]

    def marshal_text(self) -> str:
        return f"{self.degrees}C"

    @classmethod
    def unmarshal_text(cls, data: bytes) -> "Celsius":
        return cls(float(data.removesuffix(b"C")))


Fixed = Annotated[Decimal, gob.Marshaler("money.Fixed", str, lambda d: Decimal(d.decode()))]


class Weather(msgspec.Struct):
    temperature: Celsius
    price: Fixed
    other: int = 0


def test_classes_may_encode_themselves() -> None:
    weather = Weather(Celsius(3.5), Decimal("1.10"))
    data = gob.dumps(weather)
    assert gob.loads(data, Weather) == weather
    assert gob.loads(data) == {"Temperature": b"3.5C", "Price": b"1.10", "Other": 0}
    assert gob.loads(gob.dumps([Celsius(1)], list[Celsius]), list[Celsius]) == [Celsius(1)]


def test_what_their_methods_raise_is_an_error_of_this_library() -> None:
    data = gob.dumps(Weather(Celsius(3.5), Decimal("1.10")))
    with pytest.raises(DecodeError, match=r"Weather\.Temperature: ValueError: could not convert"):
        gob.loads(data.replace(b"3.5C", b"warm"), Weather)
    with pytest.raises(EncodeError, match=r"Weather\.temperature: AttributeError"):
        gob.dumps(Weather(None, Decimal(1)))  # type: ignore[arg-type]


def test_a_marshaler_without_a_zero_must_be_sent_or_have_a_default() -> None:
    class Other(msgspec.Struct):
        other: int

    with pytest.raises(DecodeError, match="has no zero value"):
        gob.loads(gob.dumps(Other(1)), Weather)


@given(
    st.datetimes(timezones=st.integers(-86399, 86399).map(lambda s: timezone(timedelta(seconds=s))))
)
@example(datetime.min.replace(tzinfo=timezone(timedelta(hours=23))))
@example(datetime.max.replace(tzinfo=timezone(timedelta(hours=-23))))
def test_moments_keep_their_microseconds_and_their_offset(moment: datetime) -> None:
    seconds = moment.utcoffset() // timedelta(seconds=1)  # type: ignore[operator]
    if -120 < seconds <= -60:
        with pytest.raises(EncodeError, match="between one and two minutes west"):
            gob.dumps(moment)
        return
    decoded = gob.loads(gob.dumps(moment))
    assert decoded == moment
    assert decoded.utcoffset() == moment.utcoffset()


def time_of(seconds: int, nanoseconds: int, zone: int) -> bytes:
    data = struct.pack(">BqIh", 1, seconds, nanoseconds, zone)
    return gob.dumps(Event(data)).replace(b"\x01\x02At", b"\x01\x02At")


class Event(msgspec.Struct):
    at: Annotated[bytes, gob.Marshaler("time.Time", bytes, bytes, "gob")]


class Moment(msgspec.Struct):
    at: datetime


def test_times_that_python_has_no_room_for_are_errors() -> None:
    assert gob.loads(time_of(0, 999_999_999, -1), Moment).at.microsecond == 999_999
    for seconds, nanoseconds, zone in [
        (-1, 0, -1),
        (2**62, 0, -1),
        (0, 10**9, -1),
        (0, 0, 24 * 60),
        (0, 0, -60),
    ]:
        with pytest.raises(DecodeError, match=r"Moment.At: ValueError"):
            gob.loads(time_of(seconds, nanoseconds, zone), Moment)


# --- Limits and hostile bytes ---------------------------------------------------------------------


def nested_slices(depth: int) -> bytes:
    """A slice of itself, so many levels deep."""
    return slice_of(65, 65) + message(sint(65) + b"\x00" + b"\x01" * depth + b"\x00")


def test_names_are_limited() -> None:
    named = dataclasses.make_dataclass("Named", [("F" * 1000, int)])
    assert gob.loads(gob.dumps(named(1), named)) == {"F" * 1000: 1}
    named = dataclasses.make_dataclass("Named", [("F" * 1001, int)])
    with pytest.raises(DecodeError, match="a name of 1001 characters"):
        gob.loads(gob.dumps(named(1), named))


def test_keys_that_anybody_can_make_collide_are_limited() -> None:
    grid = {complex(real, imaginary): 1 for real in range(50) for imaginary in range(50)}
    assert gob.loads(gob.dumps(grid, dict[complex, int])) == grid
    keys = {complex(-1000003.0 * number, number): 1 for number in range(201)}
    assert gob.loads(gob.dumps(keys, dict[complex, int])) == keys
    keys[complex(-1000003.0 * 201, 201)] = 1
    with pytest.raises(DecodeError, match="more than 200 keys share their hash"):
        gob.loads(gob.dumps(keys, dict[complex, int]))
    pairs = dict.fromkeys(itertools.product((-1, -2), repeat=8), 1)  # -1 and -2 have one hash
    with pytest.raises(DecodeError, match="more than 200 keys share their hash"):
        gob.loads(gob.dumps(pairs, dict[tuple[int, int, int, int, int, int, int, int], int]))


def test_depth_is_limited() -> None:
    value = gob.loads(nested_slices(99))
    for _ in range(99):
        (value,) = value
    assert value == []
    for depth in (100, 1000, 100_000):
        with pytest.raises(DecodeError, match="nested more than 100 levels deep"):
            gob.loads(nested_slices(depth))
    with pytest.raises(DecodeError, match="nested more than 5 levels deep"):
        gob.Decoder(max_depth=5).decode(nested_slices(5))


def test_the_limit_of_depth_is_limited() -> None:
    assert gob.Decoder(max_depth=1000).decode(nested_slices(150))
    for depth in (0, 1001):
        with pytest.raises(ValueError, match="max_depth is between 1 and 1000"):
            gob.Decoder(max_depth=depth)
    with pytest.raises(DecodeError, match="deep"):
        gob.Decoder(max_depth=1000).decode(nested_slices(2000))


def test_depth_is_limited_in_what_is_skipped() -> None:
    definitions = struct_of(66, {"Skipped": 65, "Id": INT}) + slice_of(65, 65)
    for depth, fits in ((98, True), (99, False)):
        data = definitions + message(sint(66) + b"\x01" + b"\x01" * depth + b"\x00\x01\x0e\x00")
        if fits:
            assert gob.loads(data, Item) == Item(7)
        else:
            with pytest.raises(DecodeError, match="levels deep"):
                gob.loads(data, Item)


def test_deep_types_are_limited_too() -> None:
    chain = b"".join(slice_of(n, n + 1) for n in range(65, 500)) + slice_of(500, INT)
    with pytest.raises(DecodeError, match="types nested too deeply"):
        gob.loads(chain + message(sint(65) + b"\x00\x00"))


def test_interfaces_are_limited_in_depth() -> None:
    data = b""
    for _ in range(200):
        data = b"\x0b[]interface" + sint(65) + b"\x00" + b"\x00\x01" + data
    data = slice_of(65, INTERFACE) + message(sint(65) + b"\x00\x01" + data + b"\x00")
    with pytest.raises(DecodeError, match="levels deep"):
        gob.loads(data)


@pytest.mark.parametrize("count", [1_000, 2**31, 2**63, 2**64 - 1])
def test_elements_are_counted_against_the_bytes_that_are_left(count: int) -> None:
    data = slice_of(65, INT) + message(sint(65) + b"\x00" + uint(count) + b"\x00" * 50)
    with pytest.raises(DecodeError, match=f"{count} elements where fewer bytes are left"):
        gob.loads(data)
    with pytest.raises(DecodeError, match="bytes where fewer are left"):
        gob.loads(message(sint(6) + b"\x00" + uint(count) + b"abc"))


def test_values_types_fields_and_bytes_are_limited() -> None:
    numbers = gob.dumps(list(range(100)))
    assert len(gob.Decoder(max_values=100).decode(numbers)) == 100
    with pytest.raises(DecodeError, match="more values than max_values"):
        gob.Decoder(max_values=99).decode(numbers)
    wide = struct_of(65, {f"F{n}": INT for n in range(100)}) + slice_of(66, 65)
    rows = wide + message(sint(66) + b"\x00" + uint(50) + b"\x00" * 50)
    with pytest.raises(DecodeError, match="more values than max_values"):
        gob.Decoder(max_values=5_000).decode(rows)
    with pytest.raises(DecodeError, match="100 more fields than max_fields allows"):
        gob.Decoder(max_fields=99).decode(rows)
    both = wide + struct_of(67, {"A": INT}) + gob.dumps(1)
    assert gob.Decoder(max_fields=101).decode(both) == 1
    with pytest.raises(DecodeError, match="1 more fields than max_fields allows"):
        gob.Decoder(max_fields=100).decode(both)
    with pytest.raises(DecodeError, match="more types than max_types allows"):
        gob.Decoder(max_types=1).decode(rows)
    with pytest.raises(DecodeError, match="max_size is 10"):
        gob.Decoder(max_size=10).decode(rows)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (message(sint(INT) + b"\x01\x02"), "a zero byte is missing"),
        (message(sint(99) + b"\x00"), "the type 99 is not defined"),
        (message(sint(-5) + b"\x02"), "5 is not for a stream to define"),
        (b"\xf7" + b"\x00" * 9, "a number of 9 bytes"),
        (struct_of(65, {"A": INT}) + message(sint(65) + b"\x02\x02\x00"), "a field that its"),
        (struct_of(65, {"A": INT}) + message(sint(65) + b"\xf8" + b"\xff" * 8), "a field that its"),
        (struct_of(65, {"": INT}), "a field without a name"),
        (struct_of(65, {"A": 70}) + message(sint(65) + b"\x00"), "the type 70 is not defined"),
        (message(sint(-65) + b"\x00"), "a definition of nothing"),
        (message(sint(-65) + b"\x09\x00"), "a definition has no field 8"),
        (slice_of(65, INT)[:-1] + b"\x03", "a definition has no field|of two types|cut off"),
        (message(slice_of(65, INT)[1:] + b"x"), "a definition with more behind it"),
    ],
)
def test_malformed_streams_are_errors_in_words(data: bytes, words: str) -> None:
    with pytest.raises(gob.GobDecodeError, match=words):
        gob.loads(data)


DECODERS: list[Callable[[], gob.Decoder]] = [
    gob.Decoder,
    lambda: gob.Decoder(Nested),
    lambda: gob.Decoder(Many, registry=VECTOR_REGISTRY),
]
SEEDS = [
    gob.dumps(Nested("n", Point(1, 2), [Point(3, 4)], by_name={"k": Point()}, grid=[[1]])),
    gob.dumps(Many("m", [1, Point(1, 2), Held(Held(Point()))]), registry=VECTOR_REGISTRY),
    gob.dumps([{"a": 1.5}], list[dict[str, float]]),
]


def decodes_or_is_refused(data: bytes) -> None:
    for make in DECODERS:
        with contextlib.suppress(gob.GobDecodeError):
            make().decode(data)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_the_documented_error(data: bytes) -> None:
    decodes_or_is_refused(data)
    decodes_or_is_refused(message(data))


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_any_changed_bytes_give_a_value_or_the_documented_error(
    seed: bytes, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(seed)
    for place, value in changes:
        data[place % len(data)] = value
    decodes_or_is_refused(bytes(data))


# --- The codec ------------------------------------------------------------------------------------


def test_each_payload_of_the_codec_stands_alone() -> None:
    codec = resolve("gob", Held)
    values = [Held(1), Held([1, 2]), Held("a"), Held([1, 2])]
    payloads = [codec.encode(value) for value in values]
    assert payloads == [gob.dumps(value, Held) for value in values]
    assert [gob.loads(payload, Held) for payload in payloads] == values
    for payload, value in reversed(list(zip(payloads, values, strict=True))):
        assert codec.decode(payload) == value


def test_the_codec_reads_streams_with_other_definitions_too() -> None:
    codec = resolve("gob", Point)
    other = gob.Encoder(Point, first_id=100).encode(Point(1, 2))
    broken = struct_of(65, {"X": INT})
    for _ in range(2):
        assert codec.decode(codec.encode(Point(3, 4))) == Point(3, 4)
        assert codec.decode(other) == Point(1, 2)
        with pytest.raises(DecodeError):
            codec.decode(broken)
        with pytest.raises(DecodeError):
            codec.decode(codec.encode(Point(3, 4))[:-1])


def test_without_a_type_the_codec_goes_by_the_value() -> None:
    codec = resolve("gob", Any)
    for value in (1, "a", [1.5], {"a": b"b"}):
        assert codec.decode(codec.encode(value)) == value
