"""What a key opens, changed by hand while it is in use."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from config.errors import InvalidInput
from keystore.addresses import normal_networks
from keystore.errors import KeyFollowsPurchase, KeyRevoked
from keystore.keyrows import change_key, in_future
from keystore.limits import normal_limits
from keystore.models import ApiKey

EDITABLE = (
    "name",
    "scopes",
    "allowed_cidrs",
    "expires_at",
    "own_limit_per_minute",
    "own_burst",
    "named_limits",
    "metadata",
)
FROM_PURCHASE = {"expires_at", "metadata"}  # each sync of what was bought writes them anew


@transaction.atomic
def edit_key(*, key: ApiKey, wanted: dict[str, Any], actor: str, reason: str, at: datetime) -> bool:
    """Change what is named in `wanted`; False when that changes nothing.

    Counts for every request that starts after it returned. Raises KeyRevoked, KeyFollowsPurchase,
    InvalidInput; then nothing was changed.
    """
    unknown = set(wanted) - set(EDITABLE)
    if unknown:
        raise InvalidInput(f"{', '.join(sorted(unknown))} of a key cannot be changed.")
    current = ApiKey.objects.select_for_update(of=("self",), no_key=True).get(pk=key.pk)
    if current.revoked_at is not None:
        raise KeyRevoked(f"{current} is revoked for good: issue a new key instead.")
    if current.provisioned_for and FROM_PURCHASE & set(wanted):
        raise KeyFollowsPurchase("The end and metadata of this key follow what was bought.")
    if current.replaced_at is not None and "expires_at" in wanted:
        raise KeyFollowsPurchase("This key is replaced: move its cut-off instead.")
    normal = {**wanted}
    if "allowed_cidrs" in wanted:
        normal["allowed_cidrs"] = normal_networks(wanted["allowed_cidrs"])
    if "named_limits" in wanted:
        normal["named_limits"] = normal_limits(wanted["named_limits"])
    if "expires_at" in wanted and wanted["expires_at"] != current.expires_at:
        in_future(wanted["expires_at"], at)
    return change_key(key, Q(), normal, act="key.edit", actor=actor, reason=reason)
