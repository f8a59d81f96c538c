"""A small API behind real gateways: nginx and Caddy with the files that we ship."""

import hashlib
import json
import os
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from config import paths, ports
from config.children import Children
from tests.faults.http import call

SHIPPED = paths.ROOT / "deploy" / "gateway"
START_SECONDS = 180
DIRECTORIES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Api(BaseHTTPRequestHandler):
    """Answers with what it was sent; the path /broken/500 with a status of its own."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        heard = {
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body_sha256": hashlib.sha256(body).hexdigest(),
            "body_bytes": len(body),
        }
        answer = json.dumps(heard).encode()
        self.send_response(500 if self.path.startswith("/broken") else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Gateways:
    """Latchkey, the API, and in front of them each gateway that is installed."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.lines: deque[str] = deque(maxlen=200)
        self.children = Children(show=self.lines.append)
        self.children.remove_at_death(base)
        self.api = ThreadingHTTPServer(("127.0.0.1", 0), Api)
        self.api.daemon_threads = True
        self._port = 23000 + os.getpid() % 9000
        self.latchkey_port = self._free_port()

    def start(self) -> None:
        threading.Thread(target=self.api.serve_forever, daemon=True).start()
        self.start_latchkey()

    def stop(self) -> None:
        self.api.shutdown()
        self.api.server_close()
        self.children.stop()

    def start_latchkey(self) -> None:
        """As in production: DEBUG off, behind one proxy."""
        production = {
            "DEBUG": "false",
            "ALLOW_SANDBOX": "true",
            "TRUSTED_PROXY_COUNT": "1",
            "PUBLIC_URL": "https://latchkey.example.com",
            "LOG_LEVEL": "WARNING",
            "PYTHONWARNINGS": "ignore",
        }
        command = [
            *(sys.executable, "-m", "granian", "config.wsgi:application", "--interface=wsgi"),
            *("--host=127.0.0.1", f"--port={self.latchkey_port}", "--workers=1"),
            *("--blocking-threads=4", "--no-ws", "--log-level=warning"),
        ]
        environment = {**os.environ, **production}
        self.children.spawn("latchkey", command, environment=environment, cwd=paths.ROOT)
        url = f"http://127.0.0.1:{self.latchkey_port}/live"
        self._wait_for("latchkey", lambda: call("GET", url).status == 200)

    def start_without_latchkey(self, name: str) -> str:
        """The gateway, asking where nobody listens."""
        latchkey, self.latchkey_port = self.latchkey_port, self._free_port()
        url: str = getattr(self, f"start_{name}")()
        self.latchkey_port = latchkey
        return url

    def start_nginx(self) -> str:
        port = self._free_port()
        directives = "".join(f"    {name}_temp_path {self.base}/{name};\n" for name in DIRECTORIES)
        text = self._filled("nginx.conf", port)
        file = self.base / f"nginx-{port}.conf"
        file.write_text(text.replace("http {\n", "http {\n    access_log off;\n" + directives, 1))
        globals_ = f"daemon off; pid {file}.pid; error_log stderr warn;"
        globals_ += " user root;" if os.geteuid() == 0 else ""
        command = ["nginx", "-p", str(self.base), "-c", str(file), "-g", globals_]
        return self._started("nginx", [*command, "-e", "stderr"], port)

    def start_caddy(self) -> str:
        port = self._free_port()
        file = self.base / f"Caddyfile-{port}"
        file.write_text(self._filled("Caddyfile", port))
        command = ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]
        return self._started("caddy", command, port)

    def _filled(self, name: str, port: int) -> str:
        """The shipped file, with the addresses of this run."""
        text = (SHIPPED / name).read_text()
        addresses = {
            "127.0.0.1:8080": f"127.0.0.1:{port}",
            "127.0.0.1:8000": f"127.0.0.1:{self.latchkey_port}",
            "127.0.0.1:9000": f"127.0.0.1:{self.api.server_address[1]}",
            "project=space_journal": "project=journal",
        }
        for shipped, here in addresses.items():
            assert shipped in text
            text = text.replace(shipped, here)
        return text

    def _started(self, name: str, command: list[str], port: int) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.base)}
        self.children.spawn(name, command, environment=environment)
        url = f"http://127.0.0.1:{port}"
        self._wait_for(name, lambda: call("GET", url).status > 0)
        return url

    def _free_port(self) -> int:
        self._port = ports.first_free(self._port + 1)
        return self._port

    def _wait_for(self, what: str, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + START_SECONDS
        while not is_so():
            if time.monotonic() > end:
                raise AssertionError("\n".join([f"{what} does not answer", *self.lines]))
            time.sleep(0.05)


def is_installed(name: str) -> bool:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin") is not None
