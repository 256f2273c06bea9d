"""``_roundrobin``: one suite over both twins, and both against a model that is a plain list."""

import tracemalloc
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests import twins
from tests.twins import TWINS


def load(twin: str) -> Any:
    return twins.load(twin, "_roundrobin").Ring


@pytest.fixture(params=["python", "cython"])
def ring(request: pytest.FixtureRequest) -> Any:
    """An empty ring."""
    if request.param not in TWINS:
        pytest.skip("the compiled twins are not in use")
    return load(request.param)()


def turns(ring: Any, count: int) -> list[Any]:
    return [ring.select() for _ in range(count)]


@pytest.mark.parametrize("n", [1, 2, 3, 7, 63, 64, 65, 128, 1000])
def test_call_i_selects_member_i_mod_n(ring: Any, n: int) -> None:
    for member in range(n):
        ring.join(member, ready=True)
    calls = 3 * n + 1
    assert turns(ring, calls) == [i % n for i in range(calls)]


def test_nobody_ready_nobody_selected(ring: Any) -> None:
    assert (ring.select(), (ring.ready > 0), len(ring)) == (None, False, 0)
    ring.join("a")
    assert (ring.select(), (ring.ready > 0), len(ring)) == (None, False, 1)
    ring.mark("a", True)
    assert (ring.select(), (ring.ready > 0)) == ("a", True)
    ring.mark("a", False)
    assert (ring.select(), (ring.ready > 0)) == (None, False)


def test_members_that_are_not_ready_are_passed_over_and_keep_their_place(ring: Any) -> None:
    for member in "abcd":
        ring.join(member, ready=True)
    ring.mark("b", False)
    assert turns(ring, 4) == ["a", "c", "d", "a"]
    ring.mark("b", True)
    assert turns(ring, 4) == ["b", "c", "d", "a"]


# Compiled, 64 members at a time are looked through.
@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 127, 128, 129, 200])
def test_the_only_one_that_is_ready_is_found_from_everywhere(ring: Any, n: int) -> None:
    for member in range(n):
        ring.join(member)
    for last in range(n):
        for only in {0, last - 1, last, last + 1, n // 2, n - 1} & set(range(n)):
            ring.mark(last, True)
            assert ring.select() == last
            ring.mark(last, False)
            assert ring.select() is None
            ring.mark(only, True)
            assert turns(ring, 2) == [only, only]
            ring.mark(only, False)


def test_nobody_is_lost_among_ten_thousand(ring: Any) -> None:
    for member in range(10_000):
        ring.join(member, ready=True)
    for member in range(10_000):
        ring.mark(member, member % 997 == 5)
    few = list(range(5, 10_000, 997))
    assert turns(ring, 2 * len(few)) == 2 * few
    for member in range(9000):
        ring.leave(member)
    assert (ring.ready, turns(ring, 3)) == (1, [9975, 9975, 9975])


def test_marking_twice_gives_no_second_turn(ring: Any) -> None:
    for member in "ab":
        ring.join(member, ready=True)
    ring.mark("a", True)
    ring.mark("a", True)
    assert turns(ring, 4) == ["a", "b", "a", "b"]


def test_the_turn_is_remembered_while_nobody_is_ready(ring: Any) -> None:
    for member in "abc":
        ring.join(member, ready=True)
    assert turns(ring, 1) == ["a"]
    for member in "abc":
        ring.mark(member, False)
    assert ring.select() is None
    for member in "abc":
        ring.mark(member, True)
    assert turns(ring, 3) == ["b", "c", "a"]


def test_a_new_member_waits_for_the_end_of_the_order(ring: Any) -> None:
    for member in "abc":
        ring.join(member, ready=True)
    assert turns(ring, 1) == ["a"]
    ring.join("d", ready=True)
    assert turns(ring, 5) == ["b", "c", "d", "a", "b"]


@pytest.mark.parametrize(
    ("leaver", "after"),
    [("a", "cdbcd"), ("b", "cdacd"), ("c", "dabda"), ("d", "cabca")],
)
def test_leaving_does_not_disturb_the_turn(ring: Any, leaver: str, after: str) -> None:
    for member in "abcd":
        ring.join(member, ready=True)
    assert turns(ring, 2) == ["a", "b"]
    ring.leave(leaver)
    assert turns(ring, 5) == list(after)


def test_the_turn_survives_the_closing_of_holes(ring: Any) -> None:
    for member in range(100):
        ring.join(member, ready=True)
    turns(ring, 50)
    for member in range(100):
        if member % 10:
            ring.leave(member)
    assert turns(ring, 12) == [50, 60, 70, 80, 90, 0, 10, 20, 30, 40, 50, 60]
    ring.mark(70, False)
    assert turns(ring, 2) == [80, 90]


def test_a_member_that_comes_back_joins_at_the_end(ring: Any) -> None:
    for member in "abc":
        ring.join(member, ready=True)
    ring.leave("a")
    ring.join("a", ready=True)
    assert list(ring) == ["b", "c", "a"]
    assert turns(ring, 3) == ["b", "c", "a"]


def test_membership(ring: Any) -> None:
    ring.join("a")
    ring.join(("a", "tuple"))
    assert "a" in ring
    assert ("a", "tuple") in ring
    assert "b" not in ring
    assert len(ring) == 2
    ring.leave(("a", "tuple"))
    assert ("a", "tuple") not in ring
    assert list(ring) == ["a"]


def test_iteration_is_over_a_snapshot(ring: Any) -> None:
    for member in "abcde":
        ring.join(member)
    seen = []
    for member in ring:
        seen.append(member)
        ring.leave(member)
        ring.join(member.upper())
    assert seen == list("abcde")
    assert list(ring) == list("ABCDE")


def test_a_member_cannot_join_twice(ring: Any) -> None:
    ring.join("a", ready=True)
    with pytest.raises(ValueError, match=r"^'a' is a member already$"):
        ring.join("a")
    assert (len(ring), turns(ring, 2)) == (1, ["a", "a"])


@pytest.mark.parametrize("member", ["b", ("a", "tuple"), 7])
def test_strangers_are_key_errors(ring: Any, member: Any) -> None:
    ring.join("a", ready=True)
    with pytest.raises(KeyError) as caught:
        ring.leave(member)
    assert caught.value.args == (member,)
    with pytest.raises(KeyError) as caught:
        ring.mark(member, True)
    assert caught.value.args == (member,)
    assert turns(ring, 2) == ["a", "a"]


def test_members_must_be_hashable(ring: Any) -> None:
    ring.join("a", ready=True)
    with pytest.raises(TypeError, match="unhashable"):
        ring.join([], ready=True)
    assert (len(ring), turns(ring, 2)) == (1, ["a", "a"])


def test_the_class_takes_a_type_argument(ring: Any) -> None:
    alias = type(ring)[int]
    assert len(alias()) == 0


def test_a_member_that_left_is_not_kept_alive(ring: Any) -> None:
    class Member:
        pass

    member = Member()
    reference = weakref.ref(member)
    for other in range(10):  # so many that its hole stays open
        ring.join(other)
    ring.join(member, ready=True)
    assert ring.select() is member
    ring.leave(member)
    del member
    assert reference() is None


def test_coming_and_going_costs_no_memory(ring: Any) -> None:
    ring.join("stays")
    tracemalloc.start()
    try:
        for member in range(20_000):
            ring.join(member, ready=True)
            ring.leave(member)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024


@settings(deadline=None)
@given(
    readiness=st.lists(st.booleans(), max_size=30),
    rounds=st.integers(1, 3),
)
def test_turns_are_fair(readiness: list[bool], rounds: int) -> None:
    expected = [member for member, ready in enumerate(readiness) if ready]
    for twin in TWINS:
        ring = load(twin)()
        for member, ready in enumerate(readiness):
            ring.join(member, ready)
        assert (ring.ready > 0) == bool(expected)
        assert turns(ring, rounds * len(expected)) == expected * rounds


#: The compiled twin looks through 64 at a time, and closes holes when half of the slots are holes.
MEMBERS = st.integers(0, 150)
CROWDS = st.integers(2, 150)


class Rings(RuleBasedStateMachine):
    """Both twins and the model go through the same history."""

    def __init__(self) -> None:
        super().__init__()
        self.rings = [load(twin)() for twin in TWINS]
        self.order: list[int] = []
        self.ready: set[int] = set()
        self.turn = 0  # an index into the order

    @rule(member=MEMBERS, ready=st.booleans())
    def join(self, member: int, ready: bool) -> None:
        if member in self.order:
            for ring in self.rings:
                with pytest.raises(ValueError, match="already"):
                    ring.join(member, ready)
            return
        for ring in self.rings:
            ring.join(member, ready)
        self.order.append(member)
        if ready:
            self.ready.add(member)

    @rule(member=MEMBERS)
    def leave(self, member: int) -> None:
        if member not in self.order:
            for ring in self.rings:
                with pytest.raises(KeyError):
                    ring.leave(member)
            return
        for ring in self.rings:
            ring.leave(member)
        if self.order.index(member) < self.turn:
            self.turn -= 1
        self.order.remove(member)
        self.ready.discard(member)

    @rule(first=MEMBERS, count=CROWDS, ready=st.booleans())
    def join_in_a_crowd(self, first: int, count: int, ready: bool) -> None:
        for member in range(first, first + count):
            if member not in self.order:
                self.join(member, ready)

    @rule(first=MEMBERS, count=CROWDS)
    def leave_in_a_crowd(self, first: int, count: int) -> None:
        for member in self.order[first : first + count]:
            self.leave(member)

    @rule(member=MEMBERS, ready=st.booleans())
    def mark(self, member: int, ready: bool) -> None:
        if member not in self.order:
            for ring in self.rings:
                with pytest.raises(KeyError):
                    ring.mark(member, ready)
            return
        for ring in self.rings:
            ring.mark(member, ready)
        (self.ready.add if ready else self.ready.discard)(member)

    @rule(times=st.integers(1, 5))
    def select(self, times: int) -> None:
        for _ in range(times):
            rotation = self.order[self.turn :] + self.order[: self.turn]
            expected = next((member for member in rotation if member in self.ready), None)
            if expected is not None:
                self.turn = self.order.index(expected) + 1
            assert [ring.select() for ring in self.rings] == [expected] * len(self.rings)

    @invariant()
    def agree(self) -> None:
        for ring in self.rings:
            assert list(ring) == self.order
            assert len(ring) == len(self.order)
            assert ring.ready == len(self.ready)
            assert {member for member in range(300) if member in ring} == set(self.order)


TestRings = Rings.TestCase
TestRings.settings = settings(deadline=None, stateful_step_count=100)
