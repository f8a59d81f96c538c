"""The client package against the real service over real HTTP, and a wire that can break."""

import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from tests.conftest import NOON

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}


class Wire:
    """Stands between client and service. `plan` names what befalls the next requests:
    "drop" lets one through and loses its answer, "refuse" and "503" keep it from the service.
    """

    def __init__(self, target: str) -> None:
        self.plan: list[str] = []
        self.asked: list[str] = []
        wire, host = self, urlsplit(target).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                wire.asked.append(f"{self.command} {self.path}")
                fate = wire.plan.pop(0) if wire.plan else ""
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if fate == "503":
                    self.send_response(503)
                    self.send_header("Content-Length", "0")
                    self.send_header("Retry-After", "0")
                    self.end_headers()
                    return
                if fate != "refuse":
                    behind = HTTPConnection(host, timeout=30)
                    behind.request(self.command, self.path, body, dict(self.headers))
                    answer = behind.getresponse()
                    told = answer.read()
                    behind.close()
                if fate:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            do_POST = do_GET

            def log_message(self, *told: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def wire(live_server) -> Iterator[Wire]:
    stands = Wire(live_server.url)
    yield stands
    stands.cut()


@pytest.fixture
def app_key(transactional_db, journal, backend):
    from keystore.services import issue_key

    issued = issue_key(project=journal, owner=backend, scopes=("*",), actor="system", at=NOON)
    return issued.plaintext


@pytest.fixture
def give(journal):
    """Opens a feature for a consumer."""
    from config.clock import now
    from entitlements.services import give_grant

    def give_one(consumer, code, **terms):
        feature, _ = journal.features.get_or_create(
            code=code, defaults={"kind": "limit" if "limit" in terms else "boolean"}
        )
        return give_grant(
            consumer=consumer,
            feature=feature,
            valid_from=NOON,
            valid_to=None,
            reason="a test",
            idempotency_key=f"{code} {terms}",
            granted_by="test",
            actor="system",
            at=now(),
            **terms,
        )

    return give_one
