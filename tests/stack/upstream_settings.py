"""Settings of a project that has dj-stripe alone, with its own migrations."""

from config.settings import (  # noqa: F401
    DATABASES,
    DEFAULT_AUTO_FIELD,
    DJSTRIPE_FOREIGN_KEY_TO_FIELD,
    SECRET_KEY,
    STRIPE_TEST_SECRET_KEY,
    USE_TZ,
)

INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "djstripe"]
