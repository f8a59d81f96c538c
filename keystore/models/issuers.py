"""Who signs the tokens of a project's end users, and how a token is checked."""

from functools import partial

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from keystore.ids import new_id
from keystore.models.identity import Project


class Algorithm(models.TextChoices):
    """One family per issuer: a token cannot choose how it is checked."""

    HS256 = "HS256", "HS256, a secret that both sides hold"
    RS256 = "RS256", "RS256, a public key from a key set"
    ES256 = "ES256", "ES256, a public key from a key set"


class TokenIssuer(models.Model):
    """An identity provider of a project. `iss` and `aud` of a token find it, and so the project."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "iss"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="token_issuers")
    issuer = models.CharField(max_length=255)  # the claim `iss`
    audience = models.CharField(max_length=255)  # one of the claim `aud`
    algorithm = models.CharField(max_length=5, choices=Algorithm)
    # HS256: sealed; after a roll the old secret is good until `previous_until`.
    sealed_secret = models.BinaryField(editable=False, default=bytes)
    sealed_previous_secret = models.BinaryField(editable=False, default=bytes)
    previous_until = models.DateTimeField(null=True, blank=True, editable=False)
    # RS256 and ES256: where the public keys are, and what was there when we last read it.
    jwks_url = models.URLField(max_length=500, blank=True)
    jwks = models.JSONField(null=True, blank=True, editable=False)  # None: never read
    jwks_read_at = models.DateTimeField(null=True, blank=True, editable=False)
    jwks_asked_at = models.DateTimeField(null=True, blank=True, editable=False)
    roles_claim = models.CharField(max_length=100, default="roles")
    admin_role = models.CharField(max_length=100, default="admin")
    # Tokens issued before are refused: everybody was signed out. None: never
    tokens_since = models.DateTimeField(null=True, blank=True, editable=False)
    disabled_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        permissions = [("manage_tokenissuer", "Can say whose tokens a project accepts")]
        constraints = [
            # A token leads to one project, whoever set the issuers up.
            models.UniqueConstraint(fields=["issuer", "audience"], name="issuer_once_per_audience"),
            models.CheckConstraint(
                condition=Q(algorithm=Algorithm.HS256, jwks_url="")
                | (Q(algorithm__in=[Algorithm.RS256, Algorithm.ES256]) & ~Q(jwks_url="")),
                name="issuer_has_keys_of_its_family",
            ),
        ]

    def __str__(self) -> str:
        return self.issuer
