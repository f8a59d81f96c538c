"""What staff see of projects, apps, keys, the audit trail, and each other."""

from keystore.admin import audit, keys, people, projects

__all__ = ["audit", "keys", "people", "projects"]
