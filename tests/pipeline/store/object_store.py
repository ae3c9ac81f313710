"""An S3 API on loopback behind a proxy that counts the requests and can make them fail."""

from __future__ import annotations

import http.client
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from moto.server import ThreadedMotoServer

FAULTS = ("500", "503", "slow", "refused", "lost answer", "cut answer")
_ANSWERS = {"403": "AccessDenied", "500": "InternalError", "501": "NotImplemented", "503": "SlowDown"}
_HOP = {"connection", "transfer-encoding", "content-length", "server", "date"}


@dataclass(frozen=True)
class Request:
    """A request of the client; ``range`` as in the header, ``conditional`` if it must not replace anything."""

    method: str
    path: str
    range: str | None
    conditional: bool


@dataclass
class Proxy:
    """Passes requests on to ``upstream`` (host, port), or does to them what ``fault`` returns.

    ``fault`` is called with every request and returns one of FAULTS or None: an answer with that status, an answer
    that is late, a connection closed before the request is passed on, after it, or in the middle of the answer.
    """

    upstream: tuple[str, int]
    fault: Callable[[Request], str | None] = lambda _: None
    requests: list[Request] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    body_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def seeded(self, rate: float, seed: int = 0) -> None:
        """From now on let this share of the requests fail, in every way."""
        generator = random.Random(seed)

        def fault(_: Request) -> str | None:
            with self.lock:
                return generator.choice(FAULTS) if generator.random() < rate else None

        self.fault = fault

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The URL of the proxy."""
        proxy = self

        class Handler(_Handler):
            owner = proxy

        server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    """One thread a connection; a client that has hung up is no error worth a traceback."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    owner: Proxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        conditional = self.headers.get("If-None-Match") == "*"
        request = Request(self.command, self.path, self.headers.get("Range"), conditional)
        fault = self.owner.fault(request)
        with self.owner.lock:
            self.owner.requests.append(request)
            self.owner.faults.update([fault] if fault else [])
        if fault == "refused":
            self.close_connection = True
            return
        if fault in _ANSWERS:
            answer = f"<Error><Code>{_ANSWERS[fault]}</Code><Message>injected</Message></Error>".encode()
            self._answer(int(fault), [("Content-Type", "application/xml")], answer)
            return
        if fault == "slow":
            time.sleep(0.1)
        connection = http.client.HTTPConnection(*self.owner.upstream)
        connection.request(self.command, self.path, body, dict(self.headers.items()))
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        if fault == "lost answer":
            self.close_connection = True
            return
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in _HOP]
        length = int(response.headers.get("Content-Length", 0)) if self.command == "HEAD" else len(answer)
        self._answer(response.status, headers, answer, length, cut=fault == "cut answer")

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, length: int | None = None, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        with self.owner.lock:
            self.owner.body_bytes += len(body)
        if cut:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815 - the names are the base class's


@contextmanager
def s3_server() -> Iterator[tuple[str, int]]:
    """Host and port of an empty S3."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()
    finally:
        server.stop()
