"""Threads around a stage: some read ahead of it, some write behind it, all over bounded queues."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class _End:
    """The last thing in a queue: no more items, or the error that stopped them."""

    error: BaseException | None = None


@contextmanager
def read_ahead(items: Iterable[T], depth: int) -> Iterator[Iterator[T]]:
    """Iterate ``items`` in a thread, at most ``depth`` of them ahead; the reader gets the errors that they raise.

    Leaving the context early stops the thread after its current item.
    """
    channel: queue.Queue[T | _End] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(item: T | _End) -> None:
        while not stopped.is_set():
            try:
                channel.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return

    def pump() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
        except BaseException as error:
            put(_End(error))
        else:
            put(_End())

    def drain() -> Iterator[T]:
        while not isinstance(item := channel.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    thread = threading.Thread(target=pump, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield drain()
    finally:
        stopped.set()
        thread.join()


@contextmanager
def write_behind(consume: Callable[[T], None], depth: int) -> Iterator[Callable[[T], None]]:
    """Give a function that passes items to ``consume`` in a thread, in order, at most ``depth`` behind.

    Leaving the context waits for all items, or skips the rest where the body raised. An error of ``consume``
    is raised at the next item or on leaving.
    """
    channel: queue.Queue[T | _End] = queue.Queue(maxsize=depth)
    errors: list[BaseException] = []
    abandoned = threading.Event()

    def pump() -> None:
        while not isinstance(item := channel.get(), _End):
            if errors or abandoned.is_set():
                continue
            try:
                consume(item)
            except BaseException as error:
                errors.append(error)

    def emit(item: T) -> None:
        if errors:
            raise errors[0]
        channel.put(item)

    thread = threading.Thread(target=pump, name="write-behind", daemon=True)
    thread.start()
    try:
        yield emit
    except BaseException:
        abandoned.set()
        raise
    finally:
        channel.put(_End())
        thread.join()
    if errors:
        raise errors[0]


def ordered(pool: Executor, function: Callable[[T], R], items: Iterable[T], depth: int) -> Iterator[R]:
    """``function`` of each item, computed in the pool, in the order of the items, at most ``depth`` of them ahead.

    An error is raised in place of its item's result. Closing the iterator drops the items that the pool has not
    begun.
    """
    ahead: deque[Future[R]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) == depth:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()
