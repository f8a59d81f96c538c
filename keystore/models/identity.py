"""Who is calling: projects, their apps and consumers, sellable APIs, and the keys they hold."""

from datetime import datetime
from functools import partial

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from keystore.ids import new_id
from keystore.lifetime import has_ended, is_on
from keystore.limits import Limit
from keystore.masking import masked


class Environment(models.TextChoices):
    LIVE = "live"
    TEST = "test"


class DisabledBecause(models.TextChoices):
    """Who switched a key off decides who may switch it on again."""

    STAFF = "staff"
    PAYMENT = "payment"


class Project(models.Model):
    """One product whose consumers this service bills. Nothing crosses between projects."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "proj"))
    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(max_length=200, blank=True)
    # Exact origins ("https://app.example.com") to which buyers may be sent back.
    allowed_origins = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)

    def __str__(self) -> str:
        return self.name or self.slug


class App(models.Model):
    """A backend of a project: it holds app keys and acts for every consumer of the project."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "app"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="apps")
    name = models.CharField(max_length=100)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="app_once_per_project"),
        ]

    def __str__(self) -> str:
        return self.name


class Consumer(models.Model):
    """Whom an app bills, known by the id that the app gave it (`user_id` in requests)."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "con"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="consumers")
    external_id = models.CharField(max_length=255)
    email = models.EmailField(blank=True)
    name = models.CharField(max_length=200, blank=True)
    tags = ArrayField(models.CharField(max_length=40), default=list, blank=True)  # set by staff
    # Tokens issued before are refused: everybody was signed out. None: never
    tokens_since = models.DateTimeField(null=True, blank=True, editable=False)
    # Turned out to be the same person: whoever asks for this one is answered about that one.
    merged_into = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, editable=False, related_name="merged_from"
    )
    erased_at = models.DateTimeField(null=True, blank=True, editable=False)  # nobody any more
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        permissions = [
            ("view_personal_data", "Can see e-mail addresses and raw Stripe data"),
            ("tag_consumer", "Can tag a consumer"),
            ("see_as_consumer", "Can look at a consumer's own page"),
            ("sign_out_consumer", "Can sign a consumer out"),
            ("merge_consumer", "Can merge two consumers into one"),
            ("erase_consumer", "Can erase a consumer's personal data"),
        ]
        constraints = [
            # Two requests that register the same user at once find one row.
            models.UniqueConstraint(
                fields=["project", "external_id"], name="consumer_once_per_project"
            ),
            models.CheckConstraint(
                condition=Q(merged_into=None) | ~Q(merged_into=F("pk")),
                name="consumer_not_merged_into_itself",
            ),
        ]
        indexes = [
            models.Index(fields=["project", "email"], name="consumer_by_email"),  # admin search
            # Few carry tags: the list narrowed to one, and the choice of tags.
            models.Index(fields=["id"], condition=~Q(tags=[]), name="consumer_tagged"),
            models.Index(
                fields=["erased_at"], condition=Q(erased_at__isnull=False), name="consumer_erased"
            ),
        ]

    def __str__(self) -> str:
        return masked(self.external_id)  # apps use addresses as ids, too


class Api(models.Model):
    """A sellable API of a project; plans and keys may belong to one."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "api"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="apis")
    code = models.SlugField(max_length=50)
    name = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name = "API"
        verbose_name_plural = "APIs"
        constraints = [
            models.UniqueConstraint(fields=["project", "code"], name="api_once_per_project"),
        ]

    def __str__(self) -> str:
        return self.name or self.code


class ApiKey(models.Model):
    """A secret that speaks for an app or a consumer. Only its keyed digest is kept."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "key"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="keys")
    # Exactly one owner: a key speaks either for a backend or for a buyer.
    app = models.ForeignKey(App, models.PROTECT, null=True, blank=True, related_name="keys")
    consumer = models.ForeignKey(
        Consumer, models.PROTECT, null=True, blank=True, related_name="keys"
    )
    api = models.ForeignKey(Api, models.PROTECT, null=True, blank=True, related_name="keys")
    environment = models.CharField(max_length=4, choices=Environment, default=Environment.LIVE)
    name = models.CharField(max_length=100, blank=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)  # hex HMAC-SHA256
    # Taken over from another system as plain SHA-256; its first use makes it one of ours.
    has_foreign_digest = models.BooleanField(default=False, editable=False)
    # Under which digest it came, kept so that the same import finds it again. "": not imported.
    imported_as = models.CharField(max_length=64, blank=True, editable=False)
    prefix = models.CharField(max_length=20, editable=False)  # shown to people, never secret
    last4 = models.CharField(max_length=4, editable=False)
    scopes = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    # Limits of the plan are kept up to date from above; own ones win. None: no limit.
    plan_limit_per_minute = models.PositiveIntegerField(null=True, blank=True, editable=False)
    own_limit_per_minute = models.PositiveIntegerField(null=True, blank=True)
    own_burst = models.PositiveIntegerField(null=True, blank=True)  # None: a minute's worth
    # Limits beside the one per minute: {"day": {"limit": 10000, "window_seconds": 86400}}.
    named_limits = models.JSONField(default=dict, blank=True)
    # The first key of a rotated line: while two of them work, they share its limits. "": its own.
    counts_as = models.CharField(max_length=40, blank=True, editable=False)
    allowed_cidrs = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)  # None: never
    disabled_at = models.DateTimeField(null=True, blank=True, editable=False)
    disabled_because = models.CharField(
        max_length=10, choices=DisabledBecause, blank=True, editable=False
    )
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    replaces = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="replaced_by", editable=False
    )
    # Not paid for since then, also while staff have it switched off for a reason of their own.
    unpaid_since = models.DateTimeField(null=True, blank=True, editable=False)
    # A successor has its place since then; it works on until `expires_at`. None: not replaced.
    replaced_at = models.DateTimeField(null=True, blank=True, editable=False)
    # "sub_123:default": what the key was made for; empty for keys made by hand.
    provisioned_for = models.CharField(max_length=255, blank=True, editable=False)
    metadata = models.JSONField(default=dict, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name = "API key"
        verbose_name_plural = "API keys"
        permissions = [
            ("issue_apikey", "Can issue an API key for an app"),
            ("revoke_apikey", "Can revoke an API key"),
            ("rotate_apikey", "Can rotate an API key"),
            ("disable_apikey", "Can switch an API key off and on"),
            ("edit_apikey", "Can change what an API key opens"),
            ("import_apikey", "Can take over API keys of another system"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(app=None, consumer__isnull=False) | Q(app__isnull=False, consumer=None),
                name="key_has_one_owner",
            ),
            # A repeated or concurrent checkout event must not make a second key.
            models.UniqueConstraint(
                fields=["project", "provisioned_for"],
                condition=~Q(provisioned_for="") & Q(revoked_at=None, replaced_at=None),
                name="key_once_per_slot",
            ),
            # The same list imported again must not make second keys.
            models.UniqueConstraint(
                fields=["imported_as"], condition=~Q(imported_as=""), name="key_imported_once"
            ),
            # Two people who rotate one key at once make one successor.
            models.UniqueConstraint(
                fields=["replaces"],
                condition=Q(replaces__isnull=False, revoked_at=None),
                name="key_one_successor",
            ),
            models.CheckConstraint(
                condition=Q(expires_at=None) | Q(expires_at__gt=F("created_at")),
                name="key_expires_after_it_is_made",
            ),
            models.CheckConstraint(
                condition=Q(disabled_at=None, disabled_because="")
                | Q(disabled_at__isnull=False, disabled_because__in=DisabledBecause.values),
                name="key_disabled_with_cause",
            ),
        ]
        indexes = [
            models.Index(fields=["consumer"], name="key_by_consumer"),
            models.Index(fields=["prefix"], name="key_by_prefix"),  # admin search by key prefix
            # How many imported keys nobody has used yet.
            models.Index(
                fields=["project"],
                condition=Q(has_foreign_digest=True),
                name="key_with_foreign_digest",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}…{self.last4}"

    @property
    def limit_per_minute(self) -> int | None:
        """The rate limit in force. None: unlimited."""
        if self.own_limit_per_minute is not None:
            return self.own_limit_per_minute
        return self.plan_limit_per_minute

    @property
    def rate_limits(self) -> list[Limit]:
        """Every limit in force at once. None: unlimited."""
        limits = [Limit(name=name, **terms) for name, terms in sorted(self.named_limits.items())]
        if self.limit_per_minute is None:
            return limits
        burst = None if self.own_burst is None else max(1, self.own_burst)
        return [Limit(self.limit_per_minute, burst=burst), *limits]

    @property
    def limited_as(self) -> str:
        """Whose calls are counted: a key and its successors are one."""
        return f"key:{self.counts_as or self.public_id}"

    @property
    def is_used_since_replaced(self) -> bool:
        """Whether somebody still calls with a key that has a successor."""
        used, replaced = self.last_used_at, self.replaced_at
        return used is not None and replaced is not None and used > replaced

    def has_expired(self, at: datetime) -> bool:
        return has_ended(self.expires_at, at)

    def is_usable(self, at: datetime) -> bool:
        """Whether the key opens anything at the instant `at`."""
        app_is_active = self.app is None or self.app.is_active
        switched_on = is_on(self.revoked_at, self.disabled_at, app_is_active)
        return switched_on and not self.has_expired(at)


class KeyClaim(models.Model):
    """The one-time hand-over of a new key: its sealed text, wiped when read or too old."""

    key = models.OneToOneField(ApiKey, models.PROTECT, related_name="claim")
    sealed = models.BinaryField(editable=False)  # empty once claimed or expired
    expires_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    def __str__(self) -> str:
        return f"claim of {self.key}"


class AuditEntry(models.Model):
    """Who did what, to what, why. Written in the act's own transaction; never changed."""

    project = models.ForeignKey(
        Project, models.PROTECT, null=True, blank=True, related_name="audit_entries"
    )
    actor = models.CharField(
        max_length=255
    )  # "staff:sam", "app:app_...", "stripe:evt_...", "system"
    act = models.CharField(max_length=60)  # "grant.give", "key.revoke", ...
    object_kind = models.CharField(max_length=40)
    object_id = models.CharField(max_length=255)
    # Whose history this belongs to; empty when no consumer is concerned.
    consumer_id = models.CharField(max_length=40, blank=True)  # public id, kept after erasure
    before = models.JSONField(null=True, blank=True)  # None: did not exist
    after = models.JSONField(null=True, blank=True)  # None: exists no more
    reason = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)  # joins cause and effect
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name_plural = "audit entries"
        permissions = [("export_auditentry", "Can export the audit trail")]
        indexes = [
            models.Index(fields=["object_kind", "object_id"], name="audit_by_object"),
            models.Index(fields=["consumer_id", "created_at"], name="audit_by_consumer"),
            models.Index(fields=["-created_at"], name="audit_newest_first"),
            models.Index(
                fields=["request_id"], condition=~Q(request_id=""), name="audit_by_request"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.act} by {self.actor}"


class StoredAnswer(models.Model):
    """The answer to a write that carried an Idempotency-Key, kept for 30 days."""

    app = models.ForeignKey(App, models.CASCADE, null=True, related_name="+")
    # A digest of project and user id, for whoever asked with a token; "": an app asked.
    end_user = models.CharField(max_length=64, blank=True)
    key = models.CharField(max_length=255)
    request_hash = models.CharField(max_length=64)  # of method, path and body
    status = models.PositiveSmallIntegerField(null=True)  # None: still running
    body = models.JSONField(null=True)  # None: still running
    locked_until = models.DateTimeField()  # a crashed request frees its key then
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "key"], name="answer_once_per_key"),
            models.UniqueConstraint(
                fields=["end_user", "key"],
                condition=~Q(end_user=""),
                name="answer_once_per_user_key",
            ),
            models.CheckConstraint(
                condition=Q(app=None) ^ Q(end_user=""), name="answer_has_one_owner"
            ),
        ]
        indexes = [models.Index(fields=["created_at"], name="answer_by_age")]  # pruning

    def __str__(self) -> str:
        return self.key
