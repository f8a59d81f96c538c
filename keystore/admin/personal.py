"""Who may see whose e-mail address; everybody else sees enough to tell two rows apart."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from keystore.models import Consumer

PERMISSION = "keystore.view_personal_data"


def may_see(request: HttpRequest) -> bool:
    return request.user.has_perm(PERMISSION)


def masked(text: str) -> str:
    """a***@example.com; text that is no address stays as it is."""
    name, at, domain = text.rpartition("@")
    return f"{name[:1]}***@{domain}" if at else text


def consumer_link(consumer: Consumer, *, hide: bool) -> str:
    """The consumer's page under the id that its app gave it, which may be an address."""
    url = reverse("admin:keystore_consumer_change", args=[consumer.pk])
    name = masked(consumer.external_id) if hide else consumer.external_id
    return format_html('<a class="text-link" href="{}">{}</a>', url, name)


class PersonalDataAdmin:
    """Shows a column or field named in `masked_names` under its masked name to whom it concerns.

    Mixed into a ModelAdmin. The choice is made per request: admin objects serve all threads.
    """

    masked_names: dict[str, str] = {"who": "masked_who"}

    def get_list_display(self, request: HttpRequest) -> Sequence[Any]:
        return self._shown(request, super().get_list_display(request))  # type: ignore[misc]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        return self._shown(request, super().get_fields(request, obj))  # type: ignore[misc]

    def _shown(self, request: HttpRequest, names: Sequence[Any]) -> list[Any]:
        if may_see(request):
            return list(names)
        return [self.masked_names.get(name, name) for name in names]

    def who(self, row: Any) -> str:
        return consumer_link(row.consumer, hide=False) if row.consumer else "-"

    who.short_description = "consumer"  # type: ignore[attr-defined]
    who.admin_order_field = "consumer__external_id"  # type: ignore[attr-defined]

    def masked_who(self, row: Any) -> str:
        return consumer_link(row.consumer, hide=True) if row.consumer else "-"

    masked_who.short_description = "consumer"  # type: ignore[attr-defined]
