"""Keys with all that is decided about them: from memory within a lease, else from PostgreSQL."""

from datetime import datetime
from hashlib import blake2b
from secrets import token_bytes

from entitlements.held import HeldKey, find_held
from keystore.callers import holds_scope
from keystore.lines import Lines
from keystore.pushcache import PushCache
from keystore.tokens import digest, is_plausible


class KeyHolder:
    """`cache` None: PostgreSQL is asked each time."""

    def __init__(self, lines: Lines, cache: PushCache | None) -> None:
        self._lines = lines
        self._cache = cache
        self._seal = token_bytes(32)  # the cache knows keys by what means nothing elsewhere

    def find(self, token: str, at: datetime) -> HeldKey | None:
        """None: no such key, or its consumer's answer must be computed first. Raises LineDown."""
        if not token.isascii():
            return None
        cache = self._cache if self._cache is not None and self._cache.is_fresh() else None
        name = self._sealed(token)
        held = cache.get(name) if cache is not None else None
        if isinstance(held, HeldKey) and held.holds_at(at):
            return held
        if not is_plausible(token):
            return None
        ticket = cache.ticket() if cache is not None else None
        found = find_held(lines=self._lines, digest=digest(token))
        if found is None or not found.holds_at(at):
            return None
        if cache is not None:
            cache.put(ticket, name, found)
        return found

    def asker(self, token: str, scope: str, at: datetime) -> HeldKey | None:
        """The key if it is of an app, works and holds the scope. Raises LineDown."""
        held = self.find(token, at)
        if held is None or not held.key.is_usable(at) or held.key.app is None:
            return None
        return held if holds_scope(held.key.scopes, scope) else None

    def _sealed(self, token: str) -> str:
        return blake2b(token.encode(), key=self._seal, digest_size=16).hexdigest()
