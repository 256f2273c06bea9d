"""The types of tests/go/vectors and tests/go/echo, in Python."""

import dataclasses
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple, Self, TypedDict

import msgspec

from distchan import gob

ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)


@dataclasses.dataclass(frozen=True)
class Point:
    x: int = 0
    y: int = 0


class Scalars(msgspec.Struct):
    """Of the vectors."""

    B: bool = False
    I: int = 0  # noqa: E741
    I8: gob.Int8 = 0
    I16: gob.Int16 = 0
    I32: gob.Int32 = 0
    I64: gob.Int64 = 0
    U: gob.UInt = 0
    U8: gob.UInt8 = 0
    U16: gob.UInt16 = 0
    U32: gob.UInt32 = 0
    U64: gob.UInt64 = 0
    F32: gob.Float32 = 0.0
    F64: float = 0.0
    C64: gob.Complex64 = 0j
    C128: complex = 0j
    S: str = ""
    data: bytes = b""


class Empty(NamedTuple):
    pass


EMPTY = Empty()


@dataclasses.dataclass
class Nested:
    name: str = ""
    origin: Point = Point()
    points: list[Point] = dataclasses.field(default_factory=list)
    corner: tuple[Point, Point] = (Point(), Point())
    by_name: dict[str, Point] | None = None
    grid: list[list[int]] = dataclasses.field(default_factory=list)
    empty: Empty = EMPTY
    next: Point | None = None


class List(NamedTuple):
    value: int
    next: "List | None" = None


class Tree(msgspec.Struct):
    label: str = ""
    kids: "list[Tree]" = []
    named: "dict[str, Tree] | None" = None


@dataclasses.dataclass
class Ping:
    n: int
    pongs: "list[Pong]" = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Pong:
    s: str
    pings: list[Ping] = dataclasses.field(default_factory=list)
    pongs: "list[Pong]" = dataclasses.field(default_factory=list)


class Pointers(TypedDict):
    i: int | None
    s: str | None
    l: list[int] | None  # noqa: E741
    p: Point | None
    t: datetime | None


@dataclasses.dataclass
class Held:
    value: Any = None


class Many(msgspec.Struct):
    name: str = ""
    values: list[Any] = []
    by_name: dict[str, Any] | None = None
    last: int = 0


class Event(msgspec.Struct, kw_only=True):
    at: datetime = ZERO_TIME
    name: str = ""


class Arrays(NamedTuple):
    ints: tuple[int, int, int]
    bytes: tuple[gob.UInt8, gob.UInt8, gob.UInt8, gob.UInt8]
    strs: tuple[str, str]


@dataclasses.dataclass
class Binary:
    n: int

    def marshal_binary(self) -> bytes:
        return bytes([self.n, self.n])

    @classmethod
    def unmarshal_binary(cls, data: bytes) -> Self:
        return cls(data[0])


class Marshalers(msgspec.Struct):
    b: Binary
    g: Annotated[str, gob.Marshaler("main.Gobber", str.encode, bytes.decode, "gob")]
    bs: list[Binary]


@dataclasses.dataclass
class Maps:
    empty: dict[str, int] | None = None
    nil: dict[str, int] | None = None
    ints: dict[int, str] | None = None
    deep: dict[str, dict[str, list[int]]] | None = None
    keys: dict[Point, bool] | None = None


class PointerSlices(msgspec.Struct):
    points: list[Point | None]
    by_name: dict[str, Point | None]


class EchoScalars(msgspec.Struct):
    """Of the echo."""

    B: bool
    I: int  # noqa: E741
    I8: gob.Int8
    I16: gob.Int16
    I32: gob.Int32
    U: gob.UInt
    U8: gob.UInt8
    U64: gob.UInt64
    F32: gob.Float32
    F64: float
    C128: complex
    S: str
    data: bytes


@dataclasses.dataclass
class Composite:
    ints: list[int]
    bools: list[bool]
    texts: dict[str, str]
    deep: dict[int, list[EchoScalars]]
    corner: tuple[float, float, float]
    next: "Composite | None"
    point: Point
    spot: Point | None
    at: datetime


@dataclasses.dataclass
class EchoHeld:
    name: str
    value: Any
    values: list[Any]
    by_name: dict[str, Any]
    last: int


def registry(*types: tuple[str, Any]) -> gob.Registry:
    registry = gob.Registry()
    for name, item_type in types:
        registry.register(name, item_type)
    return registry


VECTOR_REGISTRY = registry(
    ("main.Point", Point),
    ("[]main.Point", list[Point]),
    ("main.Held", Held),
    ("main.Many", Many),
    ("main.Event", Event),
    ("main.Tree", Tree),
    ("time.Time", datetime),
)
ECHO_REGISTRY = registry(
    ("main.Point", Point),
    ("main.Held", EchoHeld),
    ("[]interface {}", list[Any]),
    ("map[string]interface {}", dict[str, Any]),
    ("time.Time", datetime),
)
