"""The settings of a small Django project: its usual middleware, kept connections, Redis."""

import os
from typing import Any

import django
from django.conf import settings

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
APPS = ["auth", "contenttypes", "sessions", "messages"]


def database(name: str) -> dict[str, Any]:
    """One of the run's databases, on a connection that is kept."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["BENCH_POSTGRES"],
        "USER": "postgres",
        "NAME": name,
        "CONN_MAX_AGE": 600,
    }


def configure(urls: str, name: str, apps: list[str], **more: Any) -> None:
    """Settings of a small Django project."""
    settings.configure(
        **{"DEBUG": False, "SECRET_KEY": "bench-only", "ALLOWED_HOSTS": ["127.0.0.1"]},
        **{"ROOT_URLCONF": urls, "MIDDLEWARE": MIDDLEWARE, "USE_TZ": True},
        DATABASES={"default": database(name)},
        INSTALLED_APPS=[*(f"django.contrib.{app}" for app in APPS), *apps],
        CACHES={
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": os.environ["REDIS_URL"],
            }
        },
        **more,
    )
    django.setup()
