"""Where the embedded PostgreSQL and Valkey of a checkout live; shared by settings and the stack."""

import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".latchkey"
SECRETS = STATE / "secrets.env"
DATABASE = "latchkey"

# sun_path holds 104 bytes on macOS and 108 on Linux, the closing NUL included.
MAX_SOCKET_BYTES = 100
LONGEST_SOCKET = "run/postgres/.s.PGSQL.5432.lock"


def place() -> Path:
    """The directory that holds data and sockets: `.latchkey/`, or another one that it names."""
    try:
        elsewhere = Path((STATE / "place").read_text().strip())
        belongs_here = (elsewhere / "checkout").read_text() == str(ROOT)
    except OSError:
        return STATE
    return elsewhere if belongs_here else STATE


def prepare_place() -> Path:
    """`place()`, created; decides at the first start whether `.latchkey/` itself can serve."""
    STATE.mkdir(mode=0o700, exist_ok=True)
    found = place()
    if found == STATE and not _state_can_serve():
        found = Path(tempfile.mkdtemp(prefix="latchkey-", dir="/var/tmp"))
        (found / "checkout").write_text(str(ROOT))
        (STATE / "place").write_text(str(found))
    open_to_nobody(found)
    return found


def open_to_nobody(directory: Path) -> None:
    """Let root's unprivileged postgres pass through a directory of ours (never one above it)."""
    if os.geteuid() == 0:
        directory.chmod(0o711)


def others_can_reach(path: Path) -> bool:
    """Whether an account without rights may pass through every directory above the path."""
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)


def postgres_socket_dir(base: Path) -> Path:
    return base / "run" / "postgres"


def valkey_socket(base: Path) -> Path:
    return base / "run" / "valkey.sock"


def database_url() -> str:
    """The embedded PostgreSQL, in the form that django-environ reads a socket directory."""
    return f"postgres://postgres@/{postgres_socket_dir(place())}/{DATABASE}"


def redis_url() -> str:
    """The embedded Valkey, in the form that redis-py reads."""
    return f"unix://{valkey_socket(place())}"


def broker_url(redis_url: str) -> str:
    """The same Redis in the form that Celery's transport reads: it names sockets differently."""
    if not redis_url.startswith("unix://"):
        return redis_url
    return f"redis+socket://{redis_url.removeprefix('unix://').partition('?')[0]}?virtual_host=0"


def _state_can_serve() -> bool:
    if len(os.fsencode(STATE / LONGEST_SOCKET)) > MAX_SOCKET_BYTES:
        return False
    return os.geteuid() != 0 or others_can_reach(STATE)
