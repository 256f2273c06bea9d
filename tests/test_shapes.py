"""Shapes: what they say of a type, and which pairs of them fit.

msgspec itself is the judge: wherever it decodes a value of one type as another, the shapes of the
two must fit.
"""

import base64
import dataclasses
import datetime
import enum
import itertools
import uuid
from decimal import Decimal
from typing import Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distchan import _shapes
from distchan._shapes import MAX_NODES, Field, Node, NodeKind, Shape, compatible, describe

CODECS: dict[str, Any] = {"msgpack": msgspec.msgpack, "json": msgspec.json}

each_codec = pytest.mark.parametrize("codec", CODECS)


def fits(sender: object, receiver: object, codec: str = "msgpack") -> bool:
    return compatible(describe(sender, codec), describe(receiver, codec))


def decodes(value: object, receiver: Any, codec: str) -> bool | None:
    """Whether a value, once encoded, decodes as a type; None if it cannot be encoded."""
    try:
        data = CODECS[codec].encode(value)
    except TypeError:
        return None
    try:
        CODECS[codec].decode(data, type=type(None) if receiver is None else receiver)
    except msgspec.ValidationError:
        return False
    return True


# --- the catalogue of types -----------------------------------------------------------------------


class Number(enum.Enum):
    ONE = 1
    TWO = 2


class Letter(enum.StrEnum):
    A = "a"
    B = "b"


class Bits(enum.Flag):
    LOW = 1
    HIGH = 2


class Lenient(enum.Enum):
    A = "a"

    @classmethod
    def _missing_(cls, value: object) -> "Lenient":
        return cls.A


class Job(msgspec.Struct):
    id: int
    name: str = ""


class StrictJob(msgspec.Struct, forbid_unknown_fields=True):
    id: int
    name: str = ""


class IdOnly(msgspec.Struct):
    id: int


class StrictIdOnly(msgspec.Struct, forbid_unknown_fields=True):
    id: int


class TextId(msgspec.Struct):
    id: str


class BriefJob(msgspec.Struct, omit_defaults=True):
    id: int
    name: str = ""


class UnsetJob(msgspec.Struct):
    id: int
    name: str | msgspec.UnsetType = msgspec.UNSET
    note: str | msgspec.UnsetType = msgspec.UNSET


class ShoutedJob(msgspec.Struct, rename="upper"):
    id: int


class Stop(msgspec.Struct, tag=True):
    id: int = 0


class Go(msgspec.Struct, tag="go"):
    id: int = 0


class Third(msgspec.Struct, tag=3):
    id: int = 0


class StrictGo(msgspec.Struct, tag="go", forbid_unknown_fields=True):
    id: int = 0


class Row(msgspec.Struct, array_like=True):
    id: int
    name: str = ""


class StrictRow(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    id: int


class StopRow(msgspec.Struct, array_like=True, tag=True):
    id: int


class GoRow(msgspec.Struct, array_like=True, tag="go"):
    id: int


class LateRow(msgspec.Struct, array_like=True, kw_only=True):
    id: int = 0
    name: str


class Pair(NamedTuple):
    id: int
    name: str = ""


class JobDict(TypedDict):
    id: int
    name: NotRequired[str]


@dataclasses.dataclass
class JobData:
    id: int
    name: str = ""


@dataclasses.dataclass
class UnsetData:
    name: str
    id: int | msgspec.UnsetType


class Tree(msgspec.Struct):
    value: int
    children: "list[Tree]"


class TextTree(msgspec.Struct):
    value: str
    children: "list[TextTree]"


class OtherTree(msgspec.Struct):
    """As a Tree, in twice as many nodes."""

    value: int
    children: "list[HalfTree]"


class HalfTree(msgspec.Struct):
    value: float
    children: list[OtherTree]


class Chain(msgspec.Struct):
    next: "Chain | None" = None


T = TypeVar("T")


class Box(msgspec.Struct, Generic[T]):
    content: T


UTC_TIME = datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.UTC)
LOCAL_TIME = datetime.datetime(2024, 2, 29, 12, 30)  # noqa: DTZ001

#: Types and values of them. The values leave nothing out: no container is empty, no default kept.
CATALOGUE: list[tuple[Any, list[object]]] = [
    (Any, [None]),
    (object, [1]),
    (msgspec.Raw, [msgspec.Raw(b"1")]),
    (None, [None]),
    (bool, [True, False]),
    (int, [0, 5, -1, 2**63]),
    (float, [0.0, 5.5, 1e300, float("nan")]),
    (str, ["", "a", "b", "1.5", "PT5S", "2024-02-29", "12:30:00", "2024-02-29T12:30:00", "0" * 32]),
    (bytes, [b"", b"=>R", bytes(16), b"\xd7m\xf8", base64.b64decode("0" * 32)]),
    (bytearray, [bytearray(b"a")]),
    (datetime.datetime, [UTC_TIME, LOCAL_TIME]),
    (datetime.date, [UTC_TIME.date()]),
    (datetime.time, [LOCAL_TIME.time()]),
    (datetime.timedelta, [datetime.timedelta(seconds=5), datetime.timedelta(days=1)]),
    (uuid.UUID, [uuid.UUID(int=2**100)]),
    (Decimal, [Decimal("1.5"), Decimal("1234"), Decimal("1" * 32), Decimal("NaN")]),
    (Literal["a"], ["a"]),
    (Literal["c", 1, None], ["c", 1, None]),
    (Literal[True], [True]),
    (Number, list(Number)),
    (Letter, list(Letter)),
    (Bits, [Bits.LOW, Bits.LOW | Bits.HIGH]),
    (Lenient, [Lenient.A]),
    (list[int], [[1], [1, 2]]),
    (list[str], [["a"], ["a", "b"]]),
    (list[Any], [[1], ["a", 1]]),
    (set[int], [{1}]),
    (frozenset[int], [frozenset([1])]),
    (tuple[int, ...], [(1, 2)]),
    (tuple[int], [(1,)]),
    (tuple[int, str], [(1, "a")]),
    (tuple[int, str, int], [(1, "a", 2)]),
    (tuple[str, int], [("go", 1), ("Stop", 1), ("StopRow", 1)]),
    (tuple[()], [()]),
    (dict[str, int], [{"id": 1}, {"id": 1, "value": 2}]),
    (dict[str, str], [{"id": "1", "name": "a"}]),
    (dict[str, Any], [{"id": 1, "name": "a"}, {"id": 1, "type": "go"}, {"ID": 1}]),
    (dict[int, int], [{1: 1}]),
    (dict[float, int], [{1.5: 1}]),
    (dict[bytes, int], [{b"id": 1}]),
    (dict[datetime.date, int], [{UTC_TIME.date(): 1}]),
    (dict[Letter, int], [{Letter.A: 1}]),
    (dict[Literal["id"], int], [{"id": 1}]),
    (int | None, [1, None]),
    (int | str, [1, "a"]),
    (list[int] | str | None, [[1], "a", None]),
    (Job, [Job(1, "a")]),
    (StrictJob, [StrictJob(1, "a")]),
    (IdOnly, [IdOnly(1)]),
    (StrictIdOnly, [StrictIdOnly(1)]),
    (TextId, [TextId("1")]),
    (BriefJob, [BriefJob(1, "a"), BriefJob(1)]),
    (UnsetJob, [UnsetJob(1, "a", "b"), UnsetJob(1)]),
    (ShoutedJob, [ShoutedJob(1)]),
    (Stop, [Stop(1)]),
    (Go, [Go(1)]),
    (Third, [Third(1)]),
    (StrictGo, [StrictGo(1)]),
    (Stop | Go, [Stop(1), Go(1)]),
    (Row, [Row(1, "a")]),
    (StrictRow, [StrictRow(1)]),
    (StopRow, [StopRow(1)]),
    (GoRow, [GoRow(1)]),
    (LateRow, [LateRow(id=1, name="a")]),
    (Pair, [Pair(1, "a")]),
    (JobDict, [{"id": 1, "name": "a"}, {"id": 1}]),
    (JobData, [JobData(1, "a")]),
    (UnsetData, [UnsetData("a", 1), UnsetData("a", msgspec.UNSET)]),
    (Tree, [Tree(1, [Tree(2, [])])]),
    (TextTree, [TextTree("a", [TextTree("b", [])])]),
    (OtherTree, [OtherTree(1, [HalfTree(1.5, [])])]),
    (HalfTree, [HalfTree(1.5, [OtherTree(1, [])])]),
    (Chain, [Chain(Chain())]),
    (Box[int], [Box(1)]),
    (Box[str], [Box("a")]),
]
TYPES = [item_type for item_type, _ in CATALOGUE]


@each_codec
def test_whatever_msgspec_decodes_fits(codec: str) -> None:
    wrongly_refused = [
        (sender, value, receiver)
        for (sender, values), receiver in itertools.product(CATALOGUE, TYPES)
        for value in values
        if decodes(value, receiver, codec) and not fits(sender, receiver, codec)
    ]
    assert wrongly_refused == []


SCALARS = {
    None,
    bool,
    int,
    float,
    str,
    bytes,
    datetime.datetime,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    uuid.UUID,
    Decimal,
}


@each_codec
def test_scalars_fit_only_where_msgspec_decodes_one(codec: str) -> None:
    wrongly_accepted = {
        (sender, receiver)
        for (sender, values), receiver in itertools.product(CATALOGUE, SCALARS)
        if sender in SCALARS
        and fits(sender, receiver, codec)
        and not any(decodes(value, receiver, codec) for value in values)
    }
    # JSON has null for NaN; the rule is the same for both codecs.
    assert wrongly_accepted == ({(float, None)} if codec == "msgpack" else set())


@each_codec
@pytest.mark.parametrize("item_type", TYPES)
def test_a_type_fits_itself_and_any(codec: str, item_type: object) -> None:
    assert fits(item_type, item_type, codec)
    assert fits(item_type, Any, codec)
    assert fits(Any, item_type, codec)


@st.composite
def types_and_values(draw: st.DrawFn, depth: int = 3) -> tuple[Any, Any]:
    """A type made up at random, and a value of it that leaves no container empty."""
    kind = draw(st.sampled_from(["scalar", "list", "dict", "tuple", "optional", "struct"]))
    if depth == 0 or kind == "scalar":
        item_type, values = draw(st.sampled_from([e for e in CATALOGUE if e[0] is not None]))
        return item_type, draw(st.sampled_from(values))
    inner: Any
    other: Any
    inner, value = draw(types_and_values(depth - 1))
    if kind == "list":
        return list[inner], [value]
    if kind == "dict":
        return dict[str, inner], {"id": value}
    if kind == "tuple":
        other, other_value = draw(types_and_values(depth - 1))
        return tuple[inner, other], (value, other_value)
    if kind == "optional":
        return inner | None, value
    struct = msgspec.defstruct(
        "Random",
        [("id", inner)],
        array_like=draw(st.booleans()),
        forbid_unknown_fields=draw(st.booleans()),
        tag=draw(st.sampled_from([None, "go", 3])),
    )
    return struct, struct(value)


@given(types_and_values(), types_and_values(), st.sampled_from(list(CODECS)))
def test_made_up_types_fit_where_msgspec_decodes(
    sent: tuple[Any, Any], received: tuple[Any, Any], codec: str
) -> None:
    (sender, value), (receiver, _) = sent, received
    assert fits(sender, sender, codec)
    if decodes(value, receiver, codec):
        assert fits(sender, receiver, codec)


# --- what is refused, by hand ---------------------------------------------------------------------

NEVER = [
    (Job, str),
    (str, Job),
    (int, str),
    (str, int),
    (float, int),
    (bool, int),
    (int, bool),
    (int | None, str),
    (list[int], int),
    (list[int], dict[str, int]),
    (list[int], list[str]),
    (list[list[int]], list[list[str]]),
    (dict[str, int], dict[str, str]),
    (dict[str, list[int]], dict[str, int]),
    (list[int], Job),
    (Job, list[int]),
    (Job, Row),
    (Row, Job),
    # tuples
    (tuple[int, int], tuple[int]),
    (tuple[int], tuple[int, int]),
    (tuple[int, str], tuple[int, int]),
    (tuple[int, str], list[int]),
    (list[int], tuple[int, str]),
    (tuple[int, str, int], Pair),
    (tuple[()], Pair),
    (Row, StrictRow),
    (StrictRow, LateRow),
    (StopRow, GoRow),
    (tuple[str], StopRow),
    (Row, GoRow),
    (list[int], GoRow),
    # objects
    (TextId, Job),
    (Job, TextId),
    (JobDict, TextId),
    (ShoutedJob, Job),
    (Tree, Job),
    (Job, StrictIdOnly),
    (Stop, StrictIdOnly),
    (Stop, Go),
    (Go, Third),
    (Job, Stop | Go),
    (Third, Stop | Go),
    (Job, str | None),
    (Box[int], Box[str]),
    (dict[str, str], Job),
    (Job, dict[str, int]),
    (Job, dict[str, str]),
    # enums and literals
    (Number, Letter),
    (Number, str),
    (str, Number),
    (Letter, int),
    (Literal["a"], Literal["b"]),
    (Literal["c"], Letter),
    (Literal[3], Number),
    (Literal[1], Literal[True]),
    (Lenient, int),
    # recursion
    (Tree, TextTree),
    (TextTree, Tree),
    (HalfTree, Tree),
    (OtherTree, Tree),
    (list[Tree], Tree),
    (datetime.date, datetime.datetime),
    (datetime.datetime, datetime.timedelta),
    (uuid.UUID, datetime.time),
]


@each_codec
@pytest.mark.parametrize(("sender", "receiver"), NEVER)
def test_what_never_decodes_does_not_fit(codec: str, sender: object, receiver: object) -> None:
    assert not fits(sender, receiver, codec)


@pytest.mark.parametrize(
    ("sender", "receiver"),
    [
        (str, bytes),
        (bytes, str),
        (dict[int, int], dict[str, int]),
        (dict[int, int], Job),
        (Job, dict[int, Any]),
    ],
)
def test_what_fits_in_json_where_it_is_a_string(sender: object, receiver: object) -> None:
    assert fits(sender, receiver, "json")
    assert not fits(sender, receiver, "msgpack")


def test_a_time_with_a_zone_is_an_extension_in_msgpack() -> None:
    assert decodes(UTC_TIME, msgspec.msgpack.Ext, "msgpack")
    assert fits(datetime.datetime, msgspec.msgpack.Ext)
    assert fits(msgspec.msgpack.Ext, datetime.datetime)
    assert not fits(datetime.date, msgspec.msgpack.Ext)


# --- what fits although the types differ ----------------------------------------------------------


@each_codec
@pytest.mark.parametrize(
    ("sender", "receiver"),
    [
        (IdOnly, Job),  # a field with a default was added at the receiver
        (Job, IdOnly),  # ... or at the sender
        (Job, JobData),
        (JobData, JobDict),
        (JobDict, Job),
        (BriefJob, StrictIdOnly),
        (UnsetJob, StrictIdOnly),
        (UnsetJob, IdOnly),
        (Stop, Job),
        (Job, Stop),
        (Job, Stop | None),
        (Stop | Go, StrictGo),
        (int, float | None),
        (int | None, int),
        (StrictRow, Row),
        (tuple[int, str], Pair),
        (Pair, Row),
        (Row, tuple[int, str]),
        (Tree, HalfTree),
        (Tree, OtherTree),
        (Literal["a", "b"], Letter),
        (Letter, Literal["b", "c"]),
        (str, Lenient),
        (int, Bits),
        (set[int], tuple[int, ...]),
        (list[Any], list[int]),
    ],
)
def test_what_can_decode_fits(codec: str, sender: object, receiver: object) -> None:
    assert fits(sender, receiver, codec)


@pytest.mark.parametrize("codec", ["raw", "pickle", "own"])
def test_other_codecs_have_no_structure(codec: str) -> None:
    assert fits(Job, str, codec)
    assert fits(complex, type, codec)
    assert describe(Job, codec) == Shape("Job", (Node(NodeKind.ANY),))


# --- the description itself -----------------------------------------------------------------------


@each_codec
@pytest.mark.parametrize("item_type", TYPES)
def test_a_shape_survives_the_wire(codec: str, item_type: object) -> None:
    shape = describe(item_type, codec)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(shape), type=Shape) == shape


@pytest.mark.parametrize(
    ("item_type", "name"),
    [
        (Job, "Job"),
        (None, "None"),
        (list[Job], "list[Job]"),
        (dict[str, Job | None], "dict[str, Job | None]"),
        (Box[int], "Box[int]"),
    ],
)
def test_a_shape_bears_the_name_that_people_use(item_type: object, name: str) -> None:
    assert describe(item_type, "msgpack").name == name


def test_a_long_or_strange_name_is_made_fit_for_a_log() -> None:
    strange = msgspec.defstruct("line\nfeed", [])
    assert describe(strange, "msgpack").name == "line?feed"
    long = msgspec.defstruct("x" * 1_000, [])
    name = describe(long, "msgpack").name
    assert name.startswith("xxx")
    assert name.endswith("...")
    assert len(name) <= 200


def test_a_recursive_type_is_a_small_table() -> None:
    assert describe(Chain, "msgpack").nodes == (
        Node(NodeKind.OBJECT, fields=(Field("next", 1, required=False, always=True),), open=True),
        Node(NodeKind.UNION, parts=(0, 2)),
        Node(NodeKind.NIL),
    )


def test_equal_scalars_share_a_node() -> None:
    kinds = [node.kind for node in describe(tuple[int, str, int, str], "msgpack").nodes]
    assert kinds == [NodeKind.TUPLE, NodeKind.INT, NodeKind.STR]


def test_a_type_with_too_many_nodes_is_any() -> None:
    def lists(count: int) -> Any:
        return tuple[tuple(list[int] for _ in range(count))]  # type: ignore[misc]

    assert len(describe(lists(MAX_NODES - 2), "msgpack").nodes) == MAX_NODES
    assert describe(lists(MAX_NODES - 1), "msgpack").nodes == (Node(NodeKind.ANY),)


def test_a_shape_that_would_fill_a_hello_is_any() -> None:
    wide = msgspec.defstruct("Wide", [(f"field_{i}_{'x' * 100}", int) for i in range(500)])
    shape = describe(wide, "msgpack")
    assert shape == Shape("Wide", (Node(NodeKind.ANY),))


def test_the_shape_of_a_small_type_is_small() -> None:
    assert len(msgspec.msgpack.encode(describe(Job, "msgpack"))) < 200


def test_a_deep_type_is_described() -> None:
    deep: Any = int
    for _ in range(100):
        deep = list[deep]
    assert len(describe(deep, "msgpack").nodes) == 101
    assert fits(deep, deep)
    assert not fits(deep, list[int])


# --- hostile shapes -------------------------------------------------------------------------------

INT = Node(NodeKind.INT)


@pytest.mark.parametrize(
    "nodes",
    [
        (),
        (INT,) * (MAX_NODES + 1),
        (Node(NodeKind.LIST, parts=(1,)),),
        (Node(NodeKind.LIST, parts=(-1,)),),
        (Node(NodeKind.LIST),),
        (Node(NodeKind.LIST, parts=(0, 0)),),
        (Node(NodeKind.MAP, parts=(0,)),),
        (Node(NodeKind.UNION),),
        (Node(NodeKind.LITERAL),),
        (Node(NodeKind.TUPLE, parts=(0,), required=2),),
        (Node(NodeKind.TUPLE, parts=(0,), required=-1),),
        (Node(NodeKind.OBJECT, fields=(Field("a", 1, required=True, always=True),)),),
        (INT, Node(NodeKind.LIST, parts=(2,))),
        (Node(NodeKind.INT, parts=(7,)),),
    ],
)
def test_an_unsound_table_is_refused(nodes: tuple[Node, ...]) -> None:
    with pytest.raises(ValueError, match="a shape has"):
        Shape("Bad", nodes)
    data = msgspec.msgpack.encode({"name": "Bad", "nodes": nodes})
    with pytest.raises(ValueError, match="a shape has"):
        msgspec.msgpack.decode(data, type=Shape)


@pytest.mark.parametrize("name", ["x" * 201, "a\nb", "\x1b[31m"])
def test_an_unprintable_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the name of a shape"):
        Shape(name, (INT,))


def test_an_unknown_kind_is_refused() -> None:
    data = msgspec.msgpack.encode({"name": "Bad", "nodes": [{"kind": "quaternion"}]})
    with pytest.raises(ValueError, match="quaternion"):
        msgspec.msgpack.decode(data, type=Shape)


def test_a_union_of_nothing_but_itself_never_hangs() -> None:
    circle = Shape("Circle", (Node(NodeKind.UNION, parts=(0, 0)),))
    assert isinstance(compatible(circle, Shape("int", (INT,))), bool)
    assert isinstance(compatible(Shape("int", (INT,)), circle), bool)


def test_a_chain_as_long_as_the_table_is_compared() -> None:
    last = MAX_NODES - 1

    def chain(end: Node) -> Shape:
        return Shape("Chain", (*(Node(NodeKind.LIST, parts=(i + 1,)) for i in range(last)), end))

    assert compatible(chain(INT), chain(Node(NodeKind.FLOAT)))
    assert not compatible(chain(INT), chain(Node(NodeKind.STR)))


def test_tables_made_to_cost_time_are_let_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every union refers to all others: a million pairs, each with a thousand options."""
    everything = tuple(range(1, MAX_NODES))
    unions = (Node(NodeKind.UNION, parts=everything),) * (MAX_NODES - 1)
    sender = Shape("Evil", (*unions, INT))
    receiver = Shape("Evil", (*unions, Node(NodeKind.STR)))
    compared = 0
    original = _shapes._Comparison._demand

    def counting(*arguments: Any) -> Any:
        nonlocal compared
        compared += 1
        return original(*arguments)

    monkeypatch.setattr(_shapes._Comparison, "_demand", counting)
    assert compatible(sender, receiver)
    assert compared < 1_000


@st.composite
def tables(draw: st.DrawFn) -> Shape:
    size = draw(st.integers(1, 4))
    places = st.integers(0, size - 1)
    fields = st.builds(Field, st.sampled_from("abc"), places, st.booleans(), st.booleans())

    def node(kind: NodeKind) -> st.SearchStrategy[Node]:
        least, most = {"list": (1, 1), "map": (2, 2), "union": (1, 3)}.get(kind, (0, 3))
        return st.builds(
            Node,
            st.just(kind),
            parts=st.lists(places, min_size=least, max_size=most).map(tuple),
            fields=st.lists(fields, max_size=3).map(tuple),
            values=st.lists(st.sampled_from([1, "a", None]), min_size=1, max_size=3).map(tuple),
            open=st.booleans(),
        )

    kinds = st.sampled_from(NodeKind).flatmap(node)
    return Shape("Random", tuple(draw(kinds) for _ in range(size)))


@given(tables(), tables())
def test_every_outcome_is_justified(sender: Shape, receiver: Shape) -> None:
    """The largest set of pairs in which each has what it demands, found the plain way."""
    assert compatible(sender, sender)
    comparison = _shapes._Comparison(sender, receiver)
    demands = comparison._explore()
    assert demands is not None
    fitting = set(demands)
    while True:
        kept = {
            pair
            for pair in fitting
            if (all if demands[pair].every else any)(p in fitting for p in demands[pair].pairs)
        }
        if kept == fitting:
            break
        fitting = kept
    assert set(demands) - _shapes._unfit(demands) == fitting
    assert compatible(sender, receiver) == ((0, 0) in fitting)
