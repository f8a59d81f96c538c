"""What a consumer may use: features, plans that bundle them, and grants that open them."""

from datetime import datetime
from functools import partial

from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from keystore.ids import new_id
from keystore.models import Api, Consumer, Project


class FeatureKind(models.TextChoices):
    BOOLEAN = "boolean"
    LIMIT = "limit"
    CONFIG = "config"


class Reset(models.TextChoices):
    BILLING_PERIOD = "billing_period"
    CALENDAR_MONTH = "calendar_month"
    DAY = "day"
    NEVER = "never"


class Enforcement(models.TextChoices):
    HARD = "hard"
    SOFT = "soft"


class GrantSource(models.TextChoices):
    SUBSCRIPTION = "subscription"
    PURCHASE = "purchase"
    STAFF = "staff"
    TRIAL = "trial"


class Effect(models.TextChoices):
    """A denial is how staff revoke a feature: it beats every grant made before it."""

    ALLOW = "allow"
    DENY = "deny"


class Feature(models.Model):
    """Something that a project sells, named by a code that its programs ask for."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "feat"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="features")
    code = models.SlugField(max_length=50)
    name = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=10, choices=FeatureKind, default=FeatureKind.BOOLEAN)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "code"], name="feature_once_per_project"),
            models.CheckConstraint(
                condition=Q(kind__in=FeatureKind.values), name="feature_kind_is_known"
            ),
        ]

    def __str__(self) -> str:
        return self.code


class Plan(models.Model):
    """A bundle of features that is sold or granted under one name."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "plan"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="plans")
    api = models.ForeignKey(Api, models.PROTECT, null=True, blank=True, related_name="plans")
    code = models.SlugField(max_length=50)
    name = models.CharField(max_length=200, blank=True)
    rank = models.PositiveIntegerField(default=0)  # higher is the better plan; decides upgrades
    limit_per_minute = models.PositiveIntegerField(null=True, blank=True)  # None: unlimited
    issues_key = models.BooleanField(default=True)  # a buyer of this plan is given an API key
    allows_many = models.BooleanField(default=False)  # several live subscriptions per consumer
    public = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "code"], name="plan_once_per_project"),
        ]

    def __str__(self) -> str:
        return self.name or self.code


class PlanFeature(models.Model):
    """What a plan gives of one feature."""

    plan = models.ForeignKey(Plan, models.CASCADE, related_name="plan_features")
    feature = models.ForeignKey(Feature, models.PROTECT, related_name="+")
    limit = models.BigIntegerField(null=True, blank=True)  # for limits: None is unlimited, 0 none
    config = models.JSONField(null=True, blank=True)  # for config features; None otherwise
    reset = models.CharField(max_length=20, choices=Reset, default=Reset.BILLING_PERIOD)
    enforcement = models.CharField(max_length=4, choices=Enforcement, default=Enforcement.HARD)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan", "feature"], name="feature_once_per_plan"),
            models.CheckConstraint(
                condition=Q(limit=None) | Q(limit__gte=0), name="plan_limit_not_negative"
            ),
            models.CheckConstraint(condition=Q(reset__in=Reset.values), name="plan_reset_is_known"),
            models.CheckConstraint(
                condition=Q(enforcement__in=Enforcement.values), name="plan_enforcement_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.feature} of {self.plan}"


class GrantQuerySet(models.QuerySet["Grant"]):
    def live(self, at: datetime) -> "GrantQuerySet":
        """Grants in force at the instant `at`."""
        not_ended = Q(valid_to=None) | Q(valid_to__gt=at)
        return self.filter(not_ended, revoked_at=None, valid_from__lte=at)


class Grant(models.Model):
    """One reason why a consumer may use a plan or a feature, over [valid_from, valid_to)."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "grant"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="grants")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="grants")
    # Exactly one of the two. A feature grant carries its own limit or config.
    plan = models.ForeignKey(Plan, models.PROTECT, null=True, blank=True, related_name="grants")
    feature = models.ForeignKey(
        Feature, models.PROTECT, null=True, blank=True, related_name="grants"
    )
    limit = models.BigIntegerField(null=True, blank=True)  # None: unlimited
    config = models.JSONField(null=True, blank=True)  # None: not a config feature
    effect = models.CharField(max_length=5, choices=Effect, default=Effect.ALLOW)
    source = models.CharField(max_length=20, choices=GrantSource)
    source_ref = models.CharField(max_length=255)  # sub_..., pi_..., or the grant's own id
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True)  # None: no end
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    reason = models.TextField(blank=True)
    ticket = models.CharField(max_length=100, blank=True)  # where the exception was asked for
    granted_by = models.CharField(max_length=255, blank=True)
    # The end of which the giver was reminded; another end earns another reminder.
    reminded_of = models.DateTimeField(null=True, blank=True, editable=False)
    idempotency_key = models.CharField(max_length=255, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    objects = GrantQuerySet.as_manager()

    class Meta:
        permissions = [
            ("give_grant", "Can give a grant"),
            ("give_endless_grant", "Can give a grant without expiry"),
            ("revoke_grant", "Can revoke a grant"),
            ("renew_grant", "Can renew a grant"),
            ("give_many_grants", "Can give grants to many consumers at once"),
        ]
        constraints = [
            # A repeated request or a redelivered webhook finds the first grant.
            models.UniqueConstraint(
                fields=["consumer", "idempotency_key"], name="grant_once_per_idempotency_key"
            ),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gt=F("valid_from")),
                name="grant_ends_after_it_starts",
            ),
            models.CheckConstraint(
                condition=Q(plan=None, feature__isnull=False) | Q(plan__isnull=False, feature=None),
                name="grant_opens_plan_or_feature",
            ),
            models.CheckConstraint(
                condition=Q(limit=None) | Q(limit__gte=0), name="grant_limit_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(source__in=GrantSource.values), name="grant_source_is_known"
            ),
            models.CheckConstraint(
                condition=Q(effect=Effect.ALLOW) | Q(effect=Effect.DENY, plan=None),
                name="grant_denies_features_only",
            ),
        ]
        indexes = [
            # Read by every recomputation of a consumer's answer.
            models.Index(
                fields=["consumer"], name="grant_not_revoked", condition=Q(revoked_at=None)
            ),
            # Read by every sync of a subscription or purchase.
            models.Index(fields=["source_ref"], name="grant_by_source_ref"),
            # Those that end soon: the list, and the reminders.
            models.Index(
                fields=["valid_to"],
                name="grant_by_end",
                condition=Q(revoked_at=None, valid_to__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan or self.feature} for {self.consumer} ({self.source})"


class Answer(models.Model):
    """The ready answer to "what may this consumer use": kept in the transaction of any change.

    `body` is the JSON text that callers receive; it holds until `changes_at` (None: for ever).
    """

    consumer = models.OneToOneField(Consumer, models.CASCADE, related_name="answer")
    body = models.TextField()
    etag = models.CharField(max_length=64)
    version = models.BigIntegerField(default=1)  # grows with every change, never falls
    changes_at = models.DateTimeField(null=True)  # None: nothing changes by itself
    computed_at = models.DateTimeField()

    class Meta:
        indexes = [
            # What time alone will change: the sweeper that tells of it.
            models.Index(
                fields=["changes_at"],
                name="answer_by_change",
                condition=Q(changes_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"answer {self.version} of {self.consumer}"


class BatchState(models.TextChoices):
    PREVIEW = "preview"  # read and checked; nothing was given yet
    RUNNING = "running"
    STOPPED = "stopped"  # by hand, with lines left; it may go on
    DONE = "done"
    DISCARDED = "discarded"


class LineState(models.TextChoices):
    READY = "ready"
    BAD = "bad"  # cannot be given; `problem` says why
    DONE = "done"
    FAILED = "failed"  # was refused when it was given


class GrantBatch(models.Model):
    """Grants for many consumers at once: checked as a whole, then given line by line."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "batch"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="grant_batches")
    state = models.CharField(
        max_length=10, choices=BatchState, default=BatchState.PREVIEW, editable=False
    )
    reason = models.TextField()
    ticket = models.CharField(max_length=100, blank=True)
    started_by = models.CharField(max_length=255)  # "staff:sam"
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name_plural = "grant batches"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=BatchState.values), name="batch_state_is_known"
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(state="running"), name="batch_running"),
        ]

    def __str__(self) -> str:
        return self.public_id


class GrantBatchLine(models.Model):
    """One line as it was read, and the grant that it became."""

    batch = models.ForeignKey(GrantBatch, models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField()  # of the line in the file
    asked = models.JSONField()  # the columns as they were given
    consumer = models.ForeignKey(Consumer, models.PROTECT, null=True, related_name="+")
    state = models.CharField(max_length=10, choices=LineState)
    problem = models.TextField(blank=True)
    grant = models.ForeignKey(Grant, models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["batch", "number"], name="line_once_per_batch"),
            models.CheckConstraint(
                condition=Q(state__in=LineState.values), name="line_state_is_known"
            ),
        ]
        indexes = [models.Index(fields=["batch", "state"], name="line_by_state")]

    def __str__(self) -> str:
        return f"line {self.number} of {self.batch_id}"
