"""Who is calling: one module per subject, one name space for the rest of the code."""

from keystore.models.hooks import (
    DeliveryState,
    HookAttempt,
    HookDelivery,
    HookEndpoint,
    OutboxMessage,
)
from keystore.models.identity import (
    Api,
    ApiKey,
    App,
    AuditEntry,
    Consumer,
    DisabledBecause,
    Environment,
    KeyClaim,
    Project,
    StoredAnswer,
)
from keystore.models.issuers import Algorithm, TokenIssuer
from keystore.models.jobs import JobOutcome, JobRun
from keystore.models.leaks import KeyLeak
from keystore.models.notes import ConsumerNote
from keystore.models.second_factor import Authenticator, RecoveryCode

__all__ = [
    "Algorithm",
    "Api",
    "ApiKey",
    "App",
    "AuditEntry",
    "Authenticator",
    "Consumer",
    "ConsumerNote",
    "DeliveryState",
    "DisabledBecause",
    "Environment",
    "HookAttempt",
    "HookDelivery",
    "HookEndpoint",
    "JobOutcome",
    "JobRun",
    "KeyClaim",
    "KeyLeak",
    "OutboxMessage",
    "Project",
    "RecoveryCode",
    "StoredAnswer",
    "TokenIssuer",
]
