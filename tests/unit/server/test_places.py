"""Places are shared fairly, whatever the order in which connections come, are served and go."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_operator.server.limits import NoPlace, Places, PortLimits

ADDRESSES = st.sampled_from(["a", "b", "c", "d"])
STEPS = st.tuples(
    st.sampled_from(["enter", "serve", "wait", "leave"]), ADDRESSES, st.integers(0, 30)
)


@given(st.lists(STEPS, max_size=60), st.integers(1, 6), st.integers(1, 6))
def test_the_bounds_hold_and_nobody_who_is_served_has_to_go(
    steps: list[tuple[str, str, int]], most: int, most_per_address: int
) -> None:
    places = Places[int](PortLimits(most, most_per_address))
    inside: dict[int, str] = {}
    served: set[int] = set()
    for number, (step, address, chosen) in enumerate(steps):
        holder = sorted(inside)[chosen % len(inside)] if inside else -1
        before = Counter(inside.values())
        match step:
            case "enter":
                try:
                    leaving = places.enter(number, address)
                except NoPlace:
                    waiting = {inside[place] for place in inside.keys() - served}
                    full = before[address] >= most_per_address and address not in waiting
                    assert full or len(inside) >= most
                    assert all(
                        before[neighbour] <= before[address] for neighbour in waiting - {address}
                    )
                    continue
                if leaving is not None:
                    assert leaving not in served
                    assert before[inside.pop(leaving)] >= min(before[address], most_per_address)
                inside[number] = address
            case "serve":
                places.serve(holder)
                served |= {holder} & inside.keys()
            case "wait":
                places.wait(holder)
                served.discard(holder)
            case _:
                assert places.leave(holder) == (inside.pop(holder, None) is not None)
                served.discard(holder)
        counted = Counter(inside.values())
        assert len(places) == len(inside) <= most
        assert all(places.of(name) == counted[name] <= most_per_address for name in "abcd")


def test_an_address_that_has_nothing_gets_in_whoever_waits() -> None:
    places = Places[int](PortLimits(connections=4, connections_per_address=2))
    for holder, address in enumerate("aabb"):
        places.enter(holder, address)
    places.serve(0)
    assert places.enter(4, "c") == 1
    assert places.enter(5, "d") == 2


def test_who_has_waited_the_longest_goes_first() -> None:
    places = Places[int](PortLimits(connections=9, connections_per_address=3))
    for holder in range(3):
        places.enter(holder, "a")
    places.serve(0)
    places.wait(0)
    assert [places.enter(holder, "a") for holder in (3, 4, 5)] == [1, 2, 0]


def test_where_all_are_served_nobody_gets_in() -> None:
    places = Places[int](PortLimits(connections=2, connections_per_address=1))
    for holder, address in enumerate("ab"):
        places.enter(holder, address)
        places.serve(holder)
    for address in "ac":
        with pytest.raises(NoPlace):
            places.enter(2, address)
    assert len(places) == 2
