"""The settings, with dj-stripe's own migrations instead of our squash of them."""

from config.settings import *  # noqa: F403

MIGRATION_MODULES: dict[str, str] = {}
