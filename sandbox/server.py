"""The sandbox over HTTP, on 127.0.0.1 only: the API, the pages and the control API."""

from __future__ import annotations

import json
import socket
import struct
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from sandbox import control
from sandbox.api import ConnectionLost

if TYPE_CHECKING:
    from sandbox.world import Sandbox

HOST = "127.0.0.1"
LARGEST_BODY = 4 * 1024 * 1024


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, sandbox: Sandbox, port: int) -> None:
        self.sandbox = sandbox
        super().__init__((HOST, port), RequestHandler)


class RequestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST_BODY:
            self.close_connection = True
            return self._send(413, "text/plain", b"too large", {})
        raw = self.rfile.read(length)
        if len(raw) < length:
            # Whoever sent it died: Stripe never executes a part of a request.
            self.close_connection = True
            return None
        try:
            body = raw.decode()
        except UnicodeDecodeError:
            return self._json(400, {"error": {"message": "The body is not UTF-8."}})
        path = urlsplit(self.path).path
        if path.startswith(control.PREFIX):
            return self._json(*control.respond(self.server.sandbox, self.command, path, body))
        if path.startswith("/v1/") or path.startswith("/v2/"):
            return self._api(body)
        return self._page(path, body)

    def _api(self, body: str) -> None:
        headers = dict(self.headers.items())
        try:
            answer = self.server.sandbox.request(self.command, self.path, body, headers)
        except ConnectionLost:
            return self._reset()
        return self._send(
            answer.status, answer.headers["Content-Type"], answer.body.encode(), answer.headers
        )

    def _page(self, path: str, body: str) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        form = dict(parse_qsl(body, keep_blank_values=True))
        answer = self.server.sandbox.open_page(self.command, path, query=query, form=form)
        if answer is None:
            return self._json(404, {"error": {"message": f"Unrecognized request URL ({path})."}})
        content = answer.body.encode() if isinstance(answer.body, str) else answer.body
        return self._send(answer.status, answer.content_type, content, answer.headers)

    def _json(self, status: int, answer: object) -> None:
        self._send(status, "application/json", json.dumps(answer).encode(), {})

    def _send(
        self, status: int, content_type: str, content: bytes, headers: dict[str, str]
    ) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": content_type}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _reset(self) -> None:
        """Close with RST, as a broken network does, not with an orderly FIN."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        # The base class flushes on close; without its buffers nothing orderly is sent.
        self.connection.close()

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            # The connection was reset, by us or by the caller.
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the supervisor shows what matters."""
