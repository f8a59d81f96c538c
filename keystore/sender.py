"""One request to an address that somebody else chose: the only file that sends hooks.

Nothing that the other side does may cost more than `TOTAL_SECONDS` and `MOST_READ` bytes, and no
address leads into a private network: the name is resolved once, the address checked, and that
very address called.
"""

import ipaddress
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Timer
from typing import Any

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from requests_hardened import Config, HTTPSession
from requests_hardened.ip_filter import InvalidIPAddress
from requests_hardened.ip_filter_adapter import IPFilterAdapter

from config.errors import DomainError, Unavailable
from keystore.hook_urls import check_url, is_public

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 15.0
MOST_READ = 4096
USER_AGENT = "Latchkey-Hooks/1"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one try. `status` None: there was no answer, `error` says why."""

    status: int | None
    milliseconds: int
    error: str = ""
    answer: str = ""  # the first characters of it
    retry_after: str = ""  # as sent: seconds or a date

    @property
    def arrived(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def post(
    *, url: str, body: bytes, headers: Mapping[str, str], seconds: float = TOTAL_SECONDS
) -> Reply:
    """Send it once. Never raises for what the other side does or is."""
    began = time.monotonic()
    deadline = Deadline(seconds)
    try:
        check_url(url)
        with deadline, _session(deadline) as session:
            status, answer, retry_after = _exchange(session, url, body, headers, deadline)
    except Exception as problem:  # noqa: BLE001  libraries raise of all kinds on hostile answers
        said = "" if deadline.passed else _in_words(problem)
        return Reply(None, _since(began), error=said or deadline.message)
    return Reply(status, _since(began), _complaint(status), answer, retry_after)


def fetch(*, url: str, seconds: float = TOTAL_SECONDS, most_bytes: int) -> bytes:
    """What is found at `url`, read with the same care. Raises Unavailable however it fails."""
    deadline = Deadline(seconds)
    try:
        check_url(url)
        with deadline, _session(deadline) as session:
            response = session.get(
                url,
                headers={"Accept-Encoding": "identity"},
                stream=True,
                allow_redirects=False,
                timeout=(min(CONNECT_SECONDS, deadline.left), deadline.left),
            )
            with response:
                body: bytes = response.raw.read(most_bytes + 1, decode_content=False)
    except Exception as problem:
        said = deadline.message if deadline.passed else _in_words(problem)
        raise Unavailable(f"{url} cannot be read: {said}.") from problem
    if response.status_code != 200 or len(body) > most_bytes or deadline.passed:
        raise Unavailable(f"{url} cannot be read: it answered {response.status_code}.")
    return body


class Deadline:
    """Cuts the connection when the time is up: a timeout per read would be paid for each byte."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._timer = Timer(seconds, self._cut)
        self._timer.daemon = True
        self.message = f"no answer within {seconds:g} s"

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self._ends_at

    @property
    def left(self) -> float:
        return max(0.01, self._ends_at - time.monotonic())

    def watch(self, connected: socket.socket) -> None:
        # A second handle on the same connection: TLS takes the first one over.
        self._sockets.append(connected.dup())
        if self.passed:
            self._cut()

    def __enter__(self) -> "Deadline":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for one in self._sockets:
            one.close()

    def _cut(self) -> None:
        for one in self._sockets:
            with suppress(OSError):  # the other side was faster
                one.shutdown(socket.SHUT_RDWR)


class _PublicOnly(IPFilterAdapter):
    """Also refuses what the library has not on its list and nobody can reach from outside."""

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> Any:
        found = super().build_connection_pool_key_attributes(request, verify, cert)
        address = ipaddress.ip_address(str(found[0]["host"]).strip("[]"))
        if not is_public(address):
            raise InvalidIPAddress(address)
        return found


def _watched(adapter: type[HTTPAdapter], deadline: Deadline, **options: Any) -> HTTPAdapter:
    """An adapter whose connections `deadline` can cut."""

    class Watched(adapter):  # type: ignore[valid-type, misc]
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
            pool = super().get_connection_with_tls_context(*args, **kwargs)
            pool.ConnectionCls = _watched_connection(pool.ConnectionCls, deadline.watch)
            return pool

    return Watched(**options)


def _watched_connection(kind: type[Any], watch: Callable[[socket.socket], None]) -> type[Any]:
    class Connection(kind):
        def _new_conn(self) -> socket.socket:
            connected: socket.socket = super()._new_conn()
            watch(connected)
            return connected

    return Connection


def _session(deadline: Deadline) -> HTTPSession:
    config = Config(
        ip_filter_enable=False,  # mounted below, with a deadline
        ip_filter_allow_loopback_ips=False,
        never_redirect=True,
        default_timeout=(CONNECT_SECONDS, TOTAL_SECONDS),
        user_agent_override=USER_AGENT,
    )
    session = HTTPSession(config)
    session.trust_env = False  # a proxy or .netrc of this machine is not the receiver's business
    for scheme in ("http", "https"):
        if settings.HOOKS_ALLOW_PRIVATE_ADDRESSES:
            adapter = _watched(HTTPAdapter, deadline)
        else:
            adapter = _watched(_PublicOnly, deadline, is_https_proto=scheme == "https")
        session.mount(f"{scheme}://", adapter)
    return session


def _exchange(
    session: HTTPSession, url: str, body: bytes, headers: Mapping[str, str], deadline: Deadline
) -> tuple[int, str, str]:
    sent = {**headers, "Accept-Encoding": "identity"}
    response = session.post(
        url,
        data=body,
        headers=sent,
        stream=True,
        allow_redirects=False,
        timeout=(min(CONNECT_SECONDS, deadline.left), deadline.left),
    )
    with response:
        if deadline.passed:  # headers that were cut off look like headers that ended
            raise requests.Timeout
        return response.status_code, _start_of(response), response.headers.get("Retry-After", "")


def _start_of(response: requests.Response) -> str:
    """The answer's beginning, as it came: unpacking it could fill the memory."""
    try:
        start: bytes = response.raw.read(MOST_READ, decode_content=False)
    except Exception:  # noqa: BLE001  the status is what counts, and it has arrived
        return ""
    return start.decode(errors="replace").replace("\x00", "")


def _complaint(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return f"answered {status}: redirects are not followed"
    return f"answered {status}"


def _in_words(problem: Exception) -> str:
    if isinstance(problem, DomainError):
        return problem.message
    if isinstance(problem, InvalidIPAddress):
        return "its name leads to an address that is not public"
    if isinstance(problem, requests.exceptions.SSLError):
        return f"TLS failed: {_cause(problem)}"
    if isinstance(problem, requests.Timeout):
        return "no answer in time"
    return f"no connection: {_cause(problem)}"


def _cause(problem: BaseException) -> str:
    """The innermost reason, without the addresses that libraries wrap around it."""
    while (inner := problem.__cause__ or problem.__context__) is not None:
        problem = inner
    return f"{type(problem).__name__}: {problem}".replace("\x00", "")[:200]


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
