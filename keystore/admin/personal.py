"""Who may see whose e-mail address. Everybody sees enough to tell two rows apart; whoever may see
more asks for it on the person's page, which is on record and ends by itself.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from config.clock import now
from keystore.masking import masked
from keystore.models import Consumer

__all__ = ["PERMISSION", "PersonalDataAdmin", "consumer_link", "masked", "may_see", "sees"]

PERMISSION = "keystore.view_personal_data"
REVEALED_FOR = timedelta(minutes=15)
REVEALED = "revealed"  # in the session: subject -> until when


def may_see(request: HttpRequest) -> bool:
    """Whether the user may ask to see persons, and find them by their address."""
    return request.user.has_perm(PERMISSION)


def sees(request: HttpRequest, row: Model | None) -> bool:
    """Whether the user has asked to see the person behind the row, not too long ago."""
    return revealed_until(request, row) is not None


def revealed_until(request: HttpRequest, row: Model | None) -> datetime | None:
    if row is None or not may_see(request):
        return None
    until = request.session.get(REVEALED, {}).get(subject_of(row), 0)
    return datetime.fromtimestamp(until, UTC) if until > now().timestamp() else None


def remember_revealed(request: HttpRequest, row: Model) -> None:
    at = now()
    known = request.session.get(REVEALED, {})
    kept = {name: until for name, until in known.items() if until > at.timestamp()}
    kept[subject_of(row)] = (at + REVEALED_FOR).timestamp()
    request.session[REVEALED] = kept


def subject_of(row: Model) -> str:
    """The consumer whose row it is; a row of nobody's stands for itself."""
    consumer = row if isinstance(row, Consumer) else getattr(row, "consumer", None)
    if isinstance(consumer, Consumer):
        return consumer.public_id
    named = getattr(row, "consumer_id", "")  # the audit trail keeps the public id alone
    return str(named) if named else f"{row._meta.label_lower}:{row.pk}"


def consumer_link(consumer: Consumer, *, hide: bool) -> str:
    """The consumer's page under the id that its app gave it, which may be an address."""
    url = reverse("admin:keystore_consumer_change", args=[consumer.pk])
    name = masked(consumer.external_id) if hide else consumer.external_id
    return format_html('<a class="text-link" href="{}">{}</a>', url, name)


class PersonalDataAdmin:
    """Shows a column or field named in `masked_names` under its masked name: always in lists, and
    on a row's own page until the person was revealed.

    Mixed into a ModelAdmin. The choice is made per request: admin objects serve all threads.
    """

    masked_names: dict[str, str] = {"who": "masked_who"}

    def get_list_display(self, request: HttpRequest) -> Sequence[Any]:
        return self._shown(request, super().get_list_display(request))  # type: ignore[misc]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        return self._shown(request, super().get_fields(request, obj), obj)  # type: ignore[misc]

    def get_search_fields(self, request: HttpRequest) -> Sequence[str]:
        """Who may not see persons finds a consumer by the whole id alone: parts of it would
        tell, letter by letter, what is masked.
        """
        names: Sequence[str] = super().get_search_fields(request)  # type: ignore[misc]
        if may_see(request):
            return names
        return [f"={name}" if name == "consumer__external_id" else name for name in names]

    def _shown(self, request: HttpRequest, names: Sequence[Any], obj: Any = None) -> list[Any]:
        if sees(request, obj):
            return list(names)
        return [self.masked_names.get(name, name) for name in names]

    def reveal_context(self, request: HttpRequest, obj: Model | None) -> dict[str, Any]:
        """What the button above a row's page needs; nothing for whoever may not press it."""
        if obj is None or not self.masked_names or not may_see(request):
            return {}
        label = obj._meta.label_lower
        return {
            "reveal_url": reverse("staff-reveal", args=[label, obj.pk]),
            "revealed_until": revealed_until(request, obj),
        }

    def who(self, row: Any) -> str:
        return consumer_link(row.consumer, hide=False) if row.consumer else "-"

    who.short_description = "consumer"  # type: ignore[attr-defined]
    who.admin_order_field = "consumer__external_id"  # type: ignore[attr-defined]

    def masked_who(self, row: Any) -> str:
        return consumer_link(row.consumer, hide=True) if row.consumer else "-"

    masked_who.short_description = "consumer"  # type: ignore[attr-defined]
