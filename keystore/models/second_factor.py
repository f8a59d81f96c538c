"""What staff prove themselves with beside their password."""

from django.db import models
from django.utils.timezone import now
from django_otp.models import Device


class Authenticator(Device):
    """The app on somebody's phone that makes their codes. Its secret is sealed; ours to read only
    while a code is checked.
    """

    sealed = models.BinaryField(editable=False)
    last_step = models.BigIntegerField(default=-1, editable=False)  # a code counts once
    failures = models.PositiveIntegerField(default=0, editable=False)  # since the last success
    # None: may be tried now.
    blocked_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        permissions = [
            ("reset_authenticator", "Can take away a colleague's second factor"),
            ("unlock_login", "Can let somebody try to log in again"),
        ]
        constraints = [
            # Two enrolments at once must not leave a second, forgotten way in.
            models.UniqueConstraint(fields=["user"], name="authenticator_once_per_user"),
        ]


class RecoveryCode(models.Model):
    """One way in when the phone is lost. Works once; only its keyed digest is kept."""

    authenticator = models.ForeignKey(Authenticator, models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64, editable=False)
    used_at = models.DateTimeField(null=True, blank=True, editable=False)  # None: still good
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["authenticator", "digest"], name="recovery_code_once_per_person"
            ),
        ]

    def __str__(self) -> str:
        return f"recovery code {self.pk}"
