"""What staff see of projects, apps, keys, the audit trail, and each other."""

from keystore.admin import (
    audit,
    hook_deliveries,
    hooks,
    issuers,
    jobs,
    keys,
    leaks,
    lockout,
    people,
    projects,
    second_factor,
)

__all__ = [
    "audit",
    "hook_deliveries",
    "hooks",
    "issuers",
    "jobs",
    "keys",
    "leaks",
    "lockout",
    "people",
    "projects",
    "second_factor",
]
