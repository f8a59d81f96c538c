"""What staff see and do about plans, features and grants."""

from entitlements.admin import batches, catalog
from entitlements.admin.grants import STATE_COLOURS, GrantAdmin, acts_linked, revoke, state_of

__all__ = ["STATE_COLOURS", "GrantAdmin", "acts_linked", "batches", "catalog", "revoke", "state_of"]
