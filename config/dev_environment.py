"""What the children of `make run` find in their environment, and where it comes from.

Strongest first: the shell, `.env`, then what is made here. What is made is also written to
`.latchkey/secrets.env`, which settings read, so that `manage.py` in another terminal works on the
running stack. Production has none of this: there a missing secret stops the start.
"""

import os
import secrets
from dataclasses import dataclass

import environ

from config import paths

KEPT = ("SECRET_KEY", "KEY_PEPPER")  # keys and sessions outlive a restart
# The seeds' replay script signs with this one; it opens nothing but the sandbox's events.
PLACEHOLDER_WEBHOOK_SECRET = "whsec_placeholder"
TO_FILES = "filemail:///"  # followed by the folder that mail is written to


@dataclass(frozen=True)
class DevEnvironment:
    """The children's variables, and which parts are embedded rather than given by the user."""

    variables: dict[str, str]
    embeds_postgres: bool
    embeds_valkey: bool
    embeds_stripe: bool
    webhook_secret: str

    @property
    def mail_folder(self) -> str:
        """Where mail is to be read. "": it is really sent."""
        url = self.variables["EMAIL_URL"]
        return url.removeprefix(TO_FILES) if url.startswith(TO_FILES) else ""


def build(port: int, sandbox_port: int) -> DevEnvironment:
    """The environment of a stack on these ports; makes and keeps the secrets at the first start."""
    given = read_given()
    webhook_secret = f"whsec_{secrets.token_hex(24)}"
    embeds_stripe = not given.get("STRIPE_SECRET_KEY")
    made = {
        **_kept_secrets(),
        "DATABASE_URL": paths.database_url(),
        "REDIS_URL": paths.redis_url(),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "PUBLIC_CHECKOUT_PROJECT": "space_journal",
    }
    if embeds_stripe:
        made["STRIPE_API_BASE"] = f"http://127.0.0.1:{sandbox_port}"
        made["STRIPE_WEBHOOK_SECRETS"] = f"{webhook_secret},{PLACEHOLDER_WEBHOOK_SECRET}"
    _write_secrets(made)
    # Not in the file: a checkout once used for development must not turn DEBUG on later.
    development = {
        "DEBUG": "true",
        "LOG_FORMAT": "text",
        "EMAIL_URL": f"{TO_FILES}{paths.STATE / 'mail'}",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore:You're running the worker,ignore:No directory at",
    }
    return DevEnvironment(
        variables={**made, **development, **given},
        embeds_postgres=not given.get("DATABASE_URL"),
        embeds_valkey=not given.get("REDIS_URL"),
        embeds_stripe=embeds_stripe,
        webhook_secret=webhook_secret,
    )


def read_given() -> dict[str, str]:
    """What the user said: the shell's variables, then `.env`. Empty ones count as not said."""
    environ.Env.read_env(paths.ROOT / ".env")
    return {name: value for name, value in os.environ.items() if value}


def _kept_secrets() -> dict[str, str]:
    known = {}
    if paths.SECRETS.exists():
        lines = paths.SECRETS.read_text().splitlines()
        known = dict(line.split("=", 1) for line in lines if "=" in line)
    return {name: known.get(name) or secrets.token_urlsafe(48) for name in KEPT}


def _write_secrets(variables: dict[str, str]) -> None:
    replacement = paths.SECRETS.with_suffix(".new")
    replacement.unlink(missing_ok=True)
    replacement.touch(mode=0o600)
    replacement.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    replacement.replace(paths.SECRETS)
