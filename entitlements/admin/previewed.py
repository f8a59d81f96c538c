"""Dialogs that show what will follow before it is done."""

from hashlib import sha256
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from unfold.forms import BaseDialogForm

from entitlements.admin.told import Preview

HINT = "Nothing is changed yet: check it, then press the button again."


class PreviewedDialog(BaseDialogForm):
    """The first click shows what would follow, the second does it.

    What was shown is remembered in the form: if the wish or what follows from it is another by
    then, it is shown again. Mixed in before a ReasonDialog.
    """

    seen = forms.CharField(widget=forms.HiddenInput, max_length=64, required=False)
    form_after_template = "admin/grant/outlook.html"
    preview: Preview | None = None
    data: Any

    def wish_shown(self) -> object:
        """What the preview is about, as its repr."""
        # Each dialog says it: Django's metaclass of forms leaves no room for an abstract one.
        raise NotImplementedError

    def made_preview(self) -> Preview:
        """What would follow."""
        # As above: each dialog makes its own.
        raise NotImplementedError

    def was_shown(self) -> bool:
        """Whether exactly this was shown before; else it is from now on."""
        self.preview = self.made_preview()
        shown = sha256(repr((self.wish_shown(), self.preview)).encode()).hexdigest()
        if self.cleaned_data.get("seen") == shown:
            return True
        self.data = self.data.copy()
        self.data["seen"] = shown
        return False

    def show(self, request: HttpRequest, dialog: dict[str, Any], submit: str) -> HttpResponse:
        """The dialog again, with what would follow and a button that does it."""
        context = {"form": self, "dialog": dialog, "form_submit_text": submit}
        response = render(request, "unfold/helpers/dialog.html", context)
        response["HX-Retarget"] = response["HX-Reselect"] = "#dialog"
        return response

    def get_after_template_context(
        self, request: HttpRequest, object_id: int | str | None = None
    ) -> dict[str, Any]:
        return {
            "preview": self.preview,
            "title": "What will follow",
            "nothing": "Opens nothing new.",
            "hint": HINT,
        }
