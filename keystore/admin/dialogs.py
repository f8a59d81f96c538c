"""Dialogs in which staff say why, and how a dialog's deed is done and reported."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from config.errors import DomainError
from keystore.admin.pages import row_or_404
from keystore.models import Consumer
from keystore.selectors import survivor_of

LONGEST_REASON = 1000


class ReasonDialog(BaseDialogForm):
    """Asks for a reason, which the audit trail keeps. Subclasses ask for more before it."""

    deed_reason = forms.CharField(
        label="Reason",
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Kept in the audit trail.",
    )
    field_order: Iterable[str] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields([name for name in self.fields if name != "deed_reason"])

    @property
    def reason(self) -> str:
        return str(self.cleaned_data["deed_reason"])


class ConsumerDialog(ReasonDialog):
    """A dialog about one consumer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Whoever may not open the dialog is refused before it exists; no such consumer is a 404.
        rows = Consumer.objects.select_related("project", "merged_into__project")
        found: Consumer = row_or_404(rows.filter(erased_at=None), self.object_id)
        self.consumer = survivor_of(found)

    def get_initial_for_field(self, field: forms.Field, field_name: str) -> Any:
        """A button in a row names its row in the address: chosen where it is on offer."""
        row = self.request.GET.get("row", "")
        if row and isinstance(field, forms.ChoiceField) and field.valid_value(row):
            return row
        return super().get_initial_for_field(field, field_name)


def opened_on(request: HttpRequest, *, pages: Iterable[str], otherwise: str) -> str:
    """Which of these pages the dialog was opened over: there its user goes back to."""
    behind = urlsplit(request.headers.get("HX-Current-URL", "")).path
    return behind if behind in pages else otherwise


def carry_out(
    request: HttpRequest, form: ReasonDialog, deed: Callable[[], str], *, back: str
) -> HttpResponse:
    """Do the deed, say what happened and go back; a refusal is shown in the dialog itself."""
    try:
        said = deed()
    except DomainError as refusal:
        form.add_error("deed_reason", refusal.message)
        return render(request, "unfold/helpers/dialog.html", {"form": form, "dialog": {}})
    messages.success(request, said)
    return HttpResponse(headers={"HX-Redirect": back})
