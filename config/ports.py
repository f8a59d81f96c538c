"""Is a port free, and who has it if not?"""

import shutil
import socket
import subprocess
from pathlib import Path

LOOPBACK = "127.0.0.1"
LISTEN = "0A"


def is_free(port: int) -> bool:
    """Whether we could listen on the port: nobody answers there, and binding succeeds."""
    with socket.socket() as client:
        client.settimeout(1)
        if client.connect_ex((LOOPBACK, port)) == 0:
            return False
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def first_free(start: int) -> int:
    """The first free port from `start` upwards."""
    return next(port for port in range(start, start + 1000) if is_free(port))


def owner(port: int) -> str:
    """`name (pid N)` of the program that listens on the port, as far as we may see it."""
    pid = _owner_from_proc(port) if Path("/proc/net/tcp").exists() else _owner_from_lsof(port)
    if pid is None:
        return "another program"
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        name = "a program"
    return f"{name} (pid {pid})"


def _owner_from_proc(port: int) -> int | None:
    inodes = set(_listening_inodes(port))
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in inodes:
            return int(link.parts[2])
    return None


def _listening_inodes(port: int) -> list[str]:
    rows = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if Path(table).exists():
            rows += [line.split() for line in Path(table).read_text().splitlines()[1:]]
    return [row[9] for row in rows if row[3] == LISTEN and int(row[1].split(":")[1], 16) == port]


def _owner_from_lsof(port: int) -> int | None:
    if not shutil.which("lsof"):
        return None
    listening = ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-t"]
    found = subprocess.run(listening, capture_output=True, text=True, check=False).stdout.split()
    return int(found[0]) if found else None
