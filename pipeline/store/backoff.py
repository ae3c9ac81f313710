"""Retries with backoff for object stores: which errors are worth a retry, how long to wait, when to give up."""

from __future__ import annotations

import errno
import http.client
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from tenacity import RetryError, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from augment.errors import UserError
from pipeline.store.errors import StoreUnavailable

R = TypeVar("R")

# Waits are random, from 0 to a bound that doubles, so that many workers do not come back all at once.
FIRST_WAIT = 0.2
LONGEST_WAIT = 20.0
GIVE_UP_AFTER = 300.0

_TRANSIENT_STATUS = frozenset({408, 409, 425, 429})
NOT_IMPLEMENTED = 501
_PERMANENT = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
_PERMANENT_ERRNO = frozenset({errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.ENOSPC, errno.EROFS})
# Errors of broken connections in the network libraries of fsspec's file systems. By name, because these libraries are
# not dependencies of this package; some of the errors are no OSError.
_BROKEN_CONNECTION = frozenset(
    {
        "ClientPayloadError",
        "ConnectionError",
        "HTTPClientError",
        "IncompleteReadError",
        "RequestException",
        "ResponseParserError",
        "ServerDisconnectedError",
        "TimeoutError",
    }
)


def with_backoff(what: str, function: Callable[..., R], *args: Any, **options: Any) -> R:
    """The result of ``function(*args, **options)``, tried again while it fails with a transient error.

    ``what`` names the operation and its object in errors. FileNotFoundError, FileExistsError and other permanent
    errors are raised unchanged, a refusal (401, 403, no credentials) as UserError. Raises StoreUnavailable after
    ``GIVE_UP_AFTER`` seconds.
    """
    retrying = Retrying(
        retry=retry_if_exception(is_transient),
        wait=wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
        stop=stop_after_delay(GIVE_UP_AFTER),
    )
    try:
        return retrying(function, *args, **options)
    except RetryError as error:
        cause = error.last_attempt.exception()
        tries = error.last_attempt.attempt_number
        raise StoreUnavailable(f"{what}: gave up after {tries} tries: {type(cause).__name__}: {cause}") from cause
    except Exception as error:
        if _is_refusal(error):
            raise UserError(f"{what}: access denied, check credentials and permissions: {error}") from error
        raise


def is_transient(error: BaseException) -> bool:
    """Whether the same operation may succeed later: 5xx, SlowDown, timeouts, dropped connections, short reads."""
    status = status_of(error)
    if status is not None:
        return (status >= 500 and status != NOT_IMPLEMENTED) or status in _TRANSIENT_STATUS
    if isinstance(error, _PERMANENT):
        return False
    if isinstance(error, OSError):
        return error.errno not in _PERMANENT_ERRNO
    if isinstance(error, EOFError | http.client.HTTPException):
        return True
    return any(kind.__name__ in _BROKEN_CONNECTION for kind in type(error).__mro__)


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind this exception or one that it was raised from; None without one."""
    for cause in _causes(error):
        response = getattr(cause, "response", None)
        if isinstance(response, Mapping):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if isinstance(status, int):
                return status
        for name in ("status_code", "status", "code"):
            status = getattr(cause, name, None)
            if isinstance(status, int) and 400 <= status < 600:
                return status
    return None


def _is_refusal(error: BaseException) -> bool:
    missing = any("Credentials" in kind.__name__ for kind in type(error).__mro__)
    return missing or isinstance(error, PermissionError) or status_of(error) in (401, 403)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
