"""What staff write beside a consumer."""

from functools import partial

from django.db import models
from django.utils.timezone import now

from keystore.ids import new_id
from keystore.models.identity import Consumer, Project


class ConsumerNote(models.Model):
    """A remark of staff about a consumer. Never changed; taken down by `removed_at`."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "note"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="+")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="notes")
    text = models.TextField()
    author = models.CharField(max_length=255)  # "staff:sam"
    removed_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        indexes = [models.Index(fields=["consumer", "-created_at"], name="note_by_consumer")]

    def __str__(self) -> str:
        return self.public_id
