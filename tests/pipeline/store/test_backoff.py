"""Transient errors are retried; permanent ones are raised at once, in one line."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from augment.errors import UserError
from pipeline.store import StoreUnavailable, backoff


class ClientError(Exception):
    """An answer with a status, in the shape that botocore gives it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"answer {status}")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


class HTTPClientError(Exception):
    """A broken connection, in the shape that botocore gives it."""


class NoCredentialsError(Exception):
    """No credentials, in the shape that botocore gives it."""


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def failing(error: Exception, times: int) -> tuple[Callable[[], str], list[int]]:
    calls: list[int] = []

    def function() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "done"

    return function, calls


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_WAIT", 0.001)


TRANSIENT = [
    ClientError(500),
    ClientError(503),
    ClientError(429),
    ClientError(409),
    raised_from(OSError(errno.EINVAL, "slow down"), ClientError(503)),
    HTTPClientError("read timeout"),
    ConnectionResetError("reset by peer"),
    TimeoutError("timed out"),
    EOFError("short read"),
    OSError(errno.EIO, "unknown"),
]
PERMANENT = [
    FileNotFoundError("gone"),
    FileExistsError("there"),
    raised_from(OSError(errno.EINVAL, "precondition failed"), ClientError(412)),
    raised_from(OSError(errno.EIO, "bad request"), ClientError(400)),
    raised_from(OSError(errno.EIO, "not implemented"), ClientError(501)),
    TypeError("a mistake of ours"),
]


@pytest.mark.parametrize("error", TRANSIENT, ids=repr)
def test_transient_errors_are_retried(error: Exception) -> None:
    function, calls = failing(error, times=3)
    assert backoff.with_backoff("cannot read x", function) == "done"
    assert len(calls) == 4


@pytest.mark.parametrize("error", TRANSIENT, ids=repr)
def test_an_error_that_lasts_too_long_becomes_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "GIVE_UP_AFTER", 0.05)
    function, calls = failing(error, times=10**9)
    with pytest.raises(StoreUnavailable, match=r"^cannot read x: gave up after [0-9]+ tries: ") as raised:
        backoff.with_backoff("cannot read x", function)
    assert "\n" not in str(raised.value)
    assert len(calls) > 1


@pytest.mark.parametrize("error", PERMANENT, ids=repr)
def test_permanent_errors_are_raised_at_once(error: Exception) -> None:
    function, calls = failing(error, times=10**9)
    with pytest.raises(type(error)) as raised:
        backoff.with_backoff("cannot read x", function)
    assert raised.value is error
    assert len(calls) == 1


@pytest.mark.parametrize(
    "error",
    [raised_from(PermissionError("Forbidden"), ClientError(403)), ClientError(401), NoCredentialsError("none found")],
    ids=repr,
)
def test_a_refusal_is_a_users_error(error: Exception) -> None:
    function, calls = failing(error, times=10**9)
    with pytest.raises(UserError, match=r"^cannot write x: access denied, check credentials and permissions: "):
        backoff.with_backoff("cannot write x", function)
    assert len(calls) == 1
