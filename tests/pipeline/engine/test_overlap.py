"""Read-ahead and write-behind keep order, bounds and errors, and end their threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.engine.overlap import read_ahead, write_behind


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("depth", [1, 3, 100])
def test_items_keep_their_order_both_ways(depth: int) -> None:
    written: list[int] = []
    with write_behind(written.append, depth) as emit, read_ahead(range(50), depth) as items:
        for item in items:
            emit(item)
    assert written == list(range(50))


def test_reading_goes_no_further_ahead_than_its_depth() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with read_ahead(source(), 4) as items:
        assert next(items) == 0
        while len(taken) < 1 + 4 + 1:
            time.sleep(0.01)
        time.sleep(0.2)
        assert len(taken) == 1 + 4 + 1


def test_an_error_of_the_source_comes_after_its_items() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    with read_ahead(source(), 2) as items:
        assert next(items) == 1
        with pytest.raises(OSError, match="gone"):
            next(items)


def test_an_error_of_the_sink_ends_the_writer() -> None:
    written: list[int] = []

    def sink(item: int) -> None:
        if item == 3:
            raise OSError("disk full")
        written.append(item)

    with pytest.raises(OSError, match="disk full"), write_behind(sink, 1) as emit:
        for item in range(100):
            emit(item)
    assert written == [0, 1, 2]


def test_an_error_at_the_last_item_is_not_lost() -> None:
    def sink(item: int) -> None:
        raise OSError(f"disk full at {item}")

    with pytest.raises(OSError, match="disk full at 0"), write_behind(sink, 10) as emit:
        emit(0)


def test_an_error_between_the_two_is_the_one_raised() -> None:
    with (
        pytest.raises(KeyError, match="stage"),
        write_behind(lambda _: None, 1) as emit,
        read_ahead(range(1000), 2) as items,
    ):
        for item in items:
            emit(item)
            raise KeyError("stage")
