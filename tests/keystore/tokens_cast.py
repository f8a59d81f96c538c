"""Somebody who calls with a token of journal's identity provider."""

from datetime import timedelta

import jwt
from rest_framework.test import APIClient

from config.clock import now
from keystore.models import TokenIssuer
from keystore.seal import seal

SECRET = "s" * 32
ISSUER = "https://sign-in.example"


def accept_tokens(project):
    """The project's identity provider; its audience is the project's slug."""
    return TokenIssuer.objects.create(
        project=project,
        issuer=ISSUER,
        audience=project.slug,
        algorithm="HS256",
        sealed_secret=seal(SECRET),
    )


def token_for(sub, project, **claims):
    """A token that is good for ten minutes."""
    times = {"iat": int(now().timestamp()), "exp": int((now() + timedelta(minutes=10)).timestamp())}
    return jwt.encode(
        {"iss": ISSUER, "aud": project.slug, "sub": sub, **times, **claims}, SECRET, "HS256"
    )


def user_client(sub, project, **claims):
    """A client that calls as that person. The project must accept tokens."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token_for(sub, project, **claims)}")
    return client
