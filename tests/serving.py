"""A small web server on the loopback address with byte ranges, which can break connections on request."""

from __future__ import annotations

import contextlib
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path


class RangeServer(http.server.ThreadingHTTPServer):
    """Serves one folder; the next `broken_answers` answers stop after a few bytes."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.broken_answers = 0
        self.ranges: list[tuple[int, int]] = []

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: RangeServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        file = self.server.folder / self.path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        data = file.read_bytes()
        requested = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(requested[1]), int(requested[2] or len(data) - 1)) if requested else (0, len(data) - 1)
        last = min(last, len(data) - 1)
        self.send_response(206 if requested else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        if requested:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            self.server.ranges.append((first, last))
        self.end_headers()
        if with_body and self.server.broken_answers:
            self.server.broken_answers -= 1
            self.wfile.write(data[first : first + 10])
            self.close_connection = True
        elif with_body:
            self.wfile.write(data[first : last + 1])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (name of the parent class)
        """Write nothing to standard error."""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[RangeServer]:
    server = RangeServer(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
