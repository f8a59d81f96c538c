"""Programs that are told: real HTTP servers on 127.0.0.1, polite and hostile ones."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Heard:
    """One request as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass
class Receiver:
    """`answer(heard)` says status, headers, body; it may take its time."""

    url: str
    heard: list[Heard] = field(default_factory=list)
    answer: Callable[[Heard], tuple[int, dict[str, str], bytes]] = lambda heard: (204, {}, b"")

    @property
    def ids(self) -> list[str]:
        return [one.headers["webhook-id"] for one in self.heard]

    def always(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.answer = lambda heard: (status, headers or {}, body)

    def waits(self, seconds: float) -> tuple[threading.Event, list[bool]]:
        """Answers when it is let go, or so late; for each request, whether it was let go."""
        let_go, outcomes = threading.Event(), []

        def answer(heard: Heard) -> tuple[int, dict[str, str], bytes]:
            outcomes.append(let_go.wait(seconds))
            return 204, {}, b""

        self.answer = answer
        return let_go, outcomes


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that answers 204 until it is told otherwise."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            heard = Heard(self.path, headers, body, time.monotonic())
            receiver.heard.append(heard)
            status, headers, text = receiver.answer(heard)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A sender that hangs up in the middle is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hooks")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def raw(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that speaks whatever `talk` sends; its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            connected, _ = listener.accept()
        except OSError:
            return
        with connected:
            try:
                connected.recv(65536)
                talk(connected)
            except OSError:
                pass  # the sender hung up, as it should

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
