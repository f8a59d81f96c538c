"""Django's own review of a deployment has nothing to say about ours."""

import os
import subprocess
import sys

import pytest

from config import paths

PRODUCTION = {
    "DEBUG": "false",
    "SECRET_KEY": "k2Zt0uQ8vXw4yB6nR1mC3pL5sD7fG9hJ-aEiOuTqWrYxVbNm4Lk8",
    "KEY_PEPPER": "p7Hn2dKq9sWx4vLc6bRt8mFz1yGj3uTo",
    "ALLOWED_HOSTS": "billing.example.com",
    "PUBLIC_URL": "https://billing.example.com",
    "STRIPE_WEBHOOK_SECRETS": "whsec_production",
    "STRIPE_SECRET_KEY": "sk_live_production",
    "STRIPE_API_BASE": "https://api.stripe.com",  # not the sandbox of a stack that ran here
}


def review(**changed):
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        env={**os.environ, **PRODUCTION, **changed},
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.slow
def test_a_production_like_deployment_passes_the_review():
    reviewed = review()

    assert reviewed.stderr == ""
    assert reviewed.returncode == 0
    assert "no issues" in reviewed.stdout


@pytest.mark.slow
def test_the_review_finds_a_guessable_key():
    reviewed = review(SECRET_KEY="a" * 60)

    assert reviewed.returncode == 1
    assert "security.W009" in reviewed.stderr
