"""Keys that were found where everybody can read them."""

from django.db import models
from django.utils.timezone import now

from keystore.models.identity import ApiKey, Project


class KeyLeak(models.Model):
    """One place at which one key was found: reported once, however often it is found there."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="key_leaks")
    key = models.ForeignKey(ApiKey, models.PROTECT, related_name="leaks")
    url = models.CharField(max_length=500, blank=True)  # as reported; may be empty
    source = models.CharField(max_length=50, blank=True)  # "content", "commit", "issue_title", ...
    revoked = models.BooleanField()  # by this report; else it was before
    found_at = models.DateTimeField(default=now, editable=False)
    mailed_at = models.DateTimeField(null=True, blank=True)  # None: the mail is still to be sent

    class Meta:
        verbose_name = "leaked key"
        constraints = [
            models.UniqueConstraint(fields=["key", "url"], name="leak_once_per_place"),
        ]
        indexes = [
            models.Index(
                fields=["found_at"], condition=models.Q(mailed_at=None), name="leak_to_mail"
            ),
            models.Index(fields=["-found_at"], name="leak_newest_first"),
        ]

    def __str__(self) -> str:
        return f"{self.key} at {self.url or 'an unknown place'}"
