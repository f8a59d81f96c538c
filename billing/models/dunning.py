"""Getting an unpaid renewal paid: the project's schedule, the course of each invoice, its steps."""

from functools import partial

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from billing.models.projections import Invoice, Subscription
from keystore.ids import new_id
from keystore.models import Consumer, Project

LONGEST_DAYS = 365
MOST_REMINDERS = 20
USUAL_DAYS = (0, 3, 7)


class DunningPolicy(models.Model):
    """When and as whom a project reminds of a failed payment. Without a row the defaults hold."""

    project = models.OneToOneField(Project, models.PROTECT, related_name="dunning_policy")
    enabled = models.BooleanField(default=True, help_text="Off: nobody is mailed.")
    reminder_days = ArrayField(
        models.PositiveSmallIntegerField(validators=[MaxValueValidator(LONGEST_DAYS)]),
        default=partial(list, USUAL_DAYS),
        blank=True,
        size=MOST_REMINDERS,
        help_text="Days after the first failure, with commas: 0,3,7. None after access has ended.",
    )
    last_reminder_hours = models.PositiveSmallIntegerField(
        default=24, help_text="The last reminder goes out so long before access ends; 0: none."
    )
    tell_end = models.BooleanField(default=True, help_text="Mail when access has ended.")
    tell_recovery = models.BooleanField(default=True, help_text="Mail when it was paid after all.")
    sender_name = models.CharField(max_length=100, blank=True)
    # Empty: DEFAULT_FROM_EMAIL.
    sender_address = models.EmailField(blank=True)
    # For customers whose language Stripe does not know. Empty: LANGUAGE_CODE.
    language = models.CharField(max_length=10, blank=True)
    link_days = models.PositiveSmallIntegerField(
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_DAYS)],
        help_text="The link to pay opens for so long after the first failure.",
    )

    class Meta:
        verbose_name_plural = "dunning policies"

    def __str__(self) -> str:
        return f"dunning policy of {self.project}"


class CourseState(models.TextChoices):
    RUNNING = "running"
    PAUSED = "paused"  # by staff: nothing is mailed, access ends all the same
    CLOSED = "closed"


class CourseEnd(models.TextChoices):
    PAID = "paid"
    CREDITED = "credited"  # nothing is owed any more, and nothing was paid
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"
    CANCELLED = "cancelled"  # the subscription has ended
    SUPERSEDED = "superseded"  # access hangs on a newer renewal
    ERASED = "erased"
    MERGED = "merged"


class DunningCourse(models.Model):
    """What is done about one invoice whose payment failed. There is one for each invoice."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "dun"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="dunning_courses")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="dunning_courses")
    invoice = models.OneToOneField(Invoice, models.PROTECT, related_name="dunning_course")
    subscription = models.ForeignKey(Subscription, models.PROTECT, related_name="dunning_courses")
    state = models.CharField(max_length=10, choices=CourseState, default=CourseState.RUNNING)
    outcome = models.CharField(max_length=15, choices=CourseEnd, blank=True)  # "": not closed
    failed_at = models.DateTimeField()  # the first failure, from which the days are counted
    access_until = models.DateTimeField()
    access_ended_at = models.DateTimeField(null=True, blank=True)  # None: it was not told yet
    # When the sweeper looks next. None: nothing more happens by itself.
    next_at = models.DateTimeField(null=True, blank=True)
    paused_because = models.TextField(blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        permissions = [
            ("send_dunning", "Can send a payment reminder now"),
            ("pause_dunning", "Can pause, resume and skip payment reminders"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="closed", closed_at__isnull=False) & ~Q(outcome="")
                | Q(state__in=("running", "paused"), closed_at=None, outcome=""),
                name="dunning_closed_with_an_outcome",
            ),
            models.UniqueConstraint(
                fields=["subscription"],
                condition=~Q(state="closed"),
                name="dunning_one_open_per_subscription",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_at"], condition=Q(next_at__isnull=False), name="dunning_due"
            ),
            models.Index(fields=["consumer", "-failed_at"], name="dunning_by_consumer"),
            models.Index(fields=["project", "state"], name="dunning_by_state"),
        ]

    def __str__(self) -> str:
        return self.public_id


class StepKind(models.TextChoices):
    FAILED = "payment_failed"
    REMINDER = "reminder"
    LAST = "last_reminder"
    ENDED = "access_ended"
    GONE = "subscription_ended"  # Stripe gave up: paying does not bring it back
    RECOVERED = "payment_recovered"


class StepState(models.TextChoices):
    WAITING = "waiting"  # its mail is on its way
    SENT = "sent"
    MISSED = "missed"  # a later step was due as well
    SKIPPED = "skipped"  # by staff
    SILENT = "silent"  # happened, and nobody is mailed about it
    WITHDRAWN = "withdrawn"  # out of date before its mail could leave
    FAILED = "failed"  # the mail server refused, or was away for too long


class DunningStep(models.Model):
    """One step of a course, taken once, and what became of its mail."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "dst"))
    course = models.ForeignKey(DunningCourse, models.PROTECT, related_name="steps")
    code = models.CharField(max_length=30)  # "day:3", "last", "ended", "staff:1"
    kind = models.CharField(max_length=20, choices=StepKind)
    number = models.PositiveSmallIntegerField(default=0)  # which reminder; 0: none
    state = models.CharField(max_length=10, choices=StepState)
    note = models.TextField(blank=True)  # why nothing was mailed
    due_at = models.DateTimeField()
    taken_at = models.DateTimeField()
    language = models.CharField(max_length=10, blank=True)  # in which it was mailed
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["course", "code"], name="dunning_step_once"),
            models.CheckConstraint(
                condition=Q(state__in=StepState.values), name="dunning_step_state_is_known"
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(state="waiting"),
                name="dunning_mail_waiting",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id


class DunningText(models.Model):
    """A project's own words for one kind of mail in one language, instead of the standard ones."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="dunning_texts")
    kind = models.CharField(max_length=20, choices=StepKind)
    language = models.CharField(max_length=10)
    subject = models.CharField(max_length=200)
    body = models.TextField()

    class Meta:
        verbose_name = "dunning text"
        constraints = [
            models.UniqueConstraint(
                fields=["project", "kind", "language"], name="dunning_text_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} ({self.language}) of {self.project}"
