"""Dialogs in which staff say why, and how a dialog's deed is done and reported."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from config.errors import DomainError

LONGEST_REASON = 1000


class ReasonDialog(BaseDialogForm):
    """Asks for a reason, which the audit trail keeps. Subclasses ask for more before it."""

    deed_reason = forms.CharField(
        label="Reason",
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Kept in the audit trail.",
    )
    field_order: list[str] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields([name for name in self.fields if name != "deed_reason"])

    @property
    def reason(self) -> str:
        return str(self.cleaned_data["deed_reason"])


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
