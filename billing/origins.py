"""Where buyers may be sent back to: only origins that the project lists."""

import re
from urllib.parse import urlsplit

from django.conf import settings

from config.errors import InvalidInput
from keystore.models import Project

LONGEST_URL = 2000
LOCAL_HOSTS = {"localhost", "127.0.0.1", "[::1]"}
# Characters that browsers and servers read differently: the root of open-redirect tricks.
FORBIDDEN = re.compile(r"[\s\\\x00-\x1f\x7f]")
PLACEHOLDER = "{CHECKOUT_SESSION_ID}"


class ForeignUrl(InvalidInput):
    code = "url_not_allowed"


def is_own_origin(origin: str, *, project: Project) -> bool:
    """Whether a browser that names this origin stands on one of the project's own pages."""
    try:
        return bool(origin) and bool(allowed_url(origin, field="origin", project=project))
    except ForeignUrl:
        return False


def allowed_url(url: str, *, field: str, project: Project) -> str:
    """The url if it leads back to the project, else ForeignUrl; "" stays "".

    In development any port of this machine will do too.
    """
    origin, origins = origin_of(url), project.allowed_origins
    if not url or origin in {known.rstrip("/").lower() for known in origins}:
        return url
    if settings.DEBUG and origin is not None and urlsplit(url).hostname in LOCAL_HOSTS:
        return url
    raise ForeignUrl(
        f"{field} must start with an origin that the project lists.",
        errors=[
            {
                "location": f"body.{field}",
                "message": f"{origin or 'This'} is not an allowed origin.",
                "fix": "Use one of: "
                + (", ".join(origins) or "none is listed yet")
                + (", or any port of this machine." if settings.DEBUG else "."),
            }
        ],
    )


def origin_of(url: str) -> str | None:
    """ "https://app.example.com" of an absolute http(s) url; None if it is not a plain one."""
    if len(url) > LONGEST_URL or FORBIDDEN.search(url) or not url.isascii():
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return None
    if not url.lower().startswith(f"{parts.scheme}://"):
        return None
    host = parts.hostname.lower()
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{shown}" + (f":{port}" if port and port != default else "")
