"""Staff logins of the demo: a password each, made per checkout, kept in one private file."""

import os
import secrets
from pathlib import Path

from django.contrib.auth.models import Group, User

ADMIN = "admin"
ROLES = {
    "support": "Support",
    "finance": "Finance",
    "operator": "Operator",
    "readonly": "Read-only",
}


class Logins:
    """Names and secrets in `path`, readable by its owner alone. Also keeps the claimed keys."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, str] = {}
        if path.exists():
            lines = path.read_text().splitlines()
            self.known = dict(line.split("=", 1) for line in lines if "=" in line)

    def keep(self, name: str, secret: str) -> None:
        self.known[name] = secret
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        replacement = self.path.with_suffix(".new")
        replacement.unlink(missing_ok=True)
        descriptor = os.open(replacement, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.writelines(f"{name}={secret}\n" for name, secret in self.known.items())
        replacement.replace(self.path)

    def make_all(self) -> None:
        """A superuser and one user per role, each with the password that the file has."""
        for username in (ADMIN, *ROLES):
            self._make(username)

    def _make(self, username: str) -> None:
        user, _ = User.objects.get_or_create(
            username=username,
            defaults={
                "email": f"{username}@space-journal.example",
                "is_staff": True,
                "is_superuser": username == ADMIN,
            },
        )
        if username not in self.known:
            self.keep(username, secrets.token_urlsafe(12))
        if not user.check_password(self.known[username]):
            user.set_password(self.known[username])
            user.save(update_fields=["password"])
        role = Group.objects.filter(name=ROLES.get(username, "")).first()
        if role is not None:
            user.groups.add(role)
