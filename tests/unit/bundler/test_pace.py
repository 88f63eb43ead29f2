import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from clock import StillClock

from bundler.pace import FIRST_AT_ONCE, MOST_AT_ONCE, Clock, Pace


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def pace(clock: StillClock) -> Pace:
    return Pace(clock)


@contextmanager
def elsewhere(pace: Pace) -> Iterator[threading.Event]:
    """Take a turn in another thread; the event is set when it has it, and the turn ends with the statement."""
    has, end = threading.Event(), threading.Event()

    def work() -> None:
        with pace.turn():
            has.set()
            assert end.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield has
    finally:
        end.set()
        thread.join()


def test_a_server_that_serves_is_asked_for_more(pace: Pace) -> None:
    limits = [pace.limit]
    for _ in range(100):
        pace.worked()
        limits.append(pace.limit)
    assert limits == sorted(limits)
    assert (limits[0], limits[3], limits[5], limits[-1]) == (FIRST_AT_ONCE, 4, 5, MOST_AT_ONCE)


def test_refusals_of_one_round_halve_once(pace: Pace) -> None:
    for _ in range(100):
        pace.worked()
    with pace.turn() as first, ExitStack() as stack:
        for _ in range(3):
            assert stack.enter_context(elsewhere(pace)).wait(20)
        for _ in range(4):
            pace.failed(first, 0)
    assert pace.limit == 4
    with pace.turn() as second:
        pace.failed(second, 0)
    assert pace.limit == 2
    for _ in range(5):
        with pace.turn() as later:
            pace.failed(later, 0)
    assert pace.limit == 1


def test_it_recovers_one_by_one(pace: Pace) -> None:
    for _ in range(3):
        with pace.turn() as turn:
            pace.failed(turn, 0)
    assert pace.limit == 1
    limits = []
    for _ in range(8):
        pace.worked()
        limits.append(pace.limit)
    assert limits == [2, 2, 2, 3, 3, 3, 4, 4]


def test_no_more_than_the_limit_are_under_way(pace: Pace) -> None:
    with ExitStack() as stack:
        for _ in range(FIRST_AT_ONCE):
            assert stack.enter_context(elsewhere(pace)).wait(20)
        late = stack.enter_context(elsewhere(pace))
        assert not late.wait(0.1)
        for _ in range(5):
            pace.worked()
        assert late.wait(20), "a higher limit lets the next one in"


def test_a_hold_is_for_everybody(pace: Pace, clock: StillClock) -> None:
    with pace.turn() as turn:
        pace.failed(turn, 7)
    with pace.turn():
        assert clock.waited == [7.0]
    with pace.turn():
        assert clock.waited == [7.0], "it is over"


def test_a_request_for_the_sake_of_another_is_part_of_it(pace: Pace) -> None:
    for _ in range(3):
        with pace.turn() as turn:
            pace.failed(turn, 0)
    other = Pace(StillClock())
    with pace.turn(), pace.turn(), other.turn(), ExitStack() as stack:
        for _ in range(FIRST_AT_ONCE):
            assert stack.enter_context(elsewhere(other)).wait(20)


def test_the_clock_of_the_world() -> None:
    clock = Clock()
    assert 4.0 <= clock.spread(4.0) <= 5.0
    assert len({clock.spread(4.0) for _ in range(100)}) > 1
    began = clock.now()
    clock.sleep(0.01)
    assert clock.now() - began >= 0.005
    assert not clock.stopped
    clock.stop()
    clock.sleep(3600)
    assert clock.stopped
