"""What support writes beside a consumer, and making one known who is not yet."""

from typing import Any

from django import forms
from django.contrib.admin import SimpleListFilter
from django.db.models import F, Func, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from config.clock import now
from config.errors import Conflict
from keystore.admin.dialogs import ConsumerDialog, ReasonDialog, carry_out
from keystore.admin.pages import actor_of, holds
from keystore.models import Consumer, ConsumerNote, Project
from keystore.notes import LONGEST_NOTE, remove_note, set_tags, write_note
from keystore.selectors import consumer_of
from keystore.services import register_consumer

SEE = "keystore.view_consumer"
MOST_OFFERED = 200


class NoteDialog(ConsumerDialog):
    """What to remember about the consumer."""

    deed_reason = forms.CharField(
        label="Note",
        max_length=LONGEST_NOTE,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="Every colleague who may see this consumer reads it.",
    )


class RemoveNoteDialog(ConsumerDialog):
    """Which note comes down."""

    which_note = forms.ChoiceField(label="Note", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["which_note"].choices = [
            ("", "Choose..."),
            *(
                (note.public_id, f"{note.created_at:%Y-%m-%d} {note.text[:60]}")
                for note in self._notes()
            ),
        ]

    def _notes(self) -> QuerySet[ConsumerNote]:
        rows = ConsumerNote.objects.filter(consumer=self.consumer, removed_at=None)
        return rows.select_related("consumer").order_by("-created_at")[:MOST_OFFERED]

    @property
    def note(self) -> ConsumerNote:
        wanted = self.cleaned_data["which_note"]
        return next(note for note in self._notes() if note.public_id == wanted)


class TagsDialog(ConsumerDialog):
    """All tags of the consumer, which replace those it has."""

    tags = forms.CharField(
        label="Tags",
        required=False,
        max_length=1000,
        widget=UnfoldAdminTextInputWidget,
        help_text="Separated by commas. Empty: none.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["tags"].initial = ", ".join(self.consumer.tags)


class RegisterDialog(ReasonDialog):
    """Who is to be known, before they ever came."""

    project = forms.ModelChoiceField(Project.objects.none(), widget=UnfoldAdminSelectWidget)
    own_id = forms.CharField(
        label="Own id",
        max_length=255,
        widget=UnfoldAdminTextInputWidget,
        help_text="The id by which the app knows this user (user_id).",
    )
    email = forms.EmailField(label="E-mail", required=False, widget=UnfoldAdminEmailInputWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["project"].queryset = Project.objects.order_by("pk")


class ConsumerDeskAdmin:
    """Notes, tags and new consumers; mixed into the consumer's admin."""

    has_note_permission = holds("keystore.add_consumernote", SEE)
    has_tag_permission = holds("keystore.tag_consumer", SEE)
    has_register_permission = holds("keystore.add_consumer", SEE)

    @action(
        description="Add a note",
        permissions=["note"],
        dialog={"title": "Add a note", "description": "", "form_class": NoteDialog},
    )
    def add_note(self, request: HttpRequest, form: NoteDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            write_note(consumer=form.consumer, text=form.reason, actor=actor_of(request), at=now())
            return "The note is kept."

        return carry_out(request, form, deed, back=_page(object_id))

    @action(
        description="Take a note down",
        permissions=["note"],
        dialog={
            "title": "Take a note down",
            "description": "Nobody reads it here any more.",
            "form_class": RemoveNoteDialog,
        },
    )
    def remove_note(
        self, request: HttpRequest, form: RemoveNoteDialog, object_id: str
    ) -> HttpResponse:
        def deed() -> str:
            remove_note(note=form.note, actor=actor_of(request), reason=form.reason, at=now())
            return "The note is taken down."

        return carry_out(request, form, deed, back=_page(object_id))

    @action(
        description="Set tags",
        permissions=["tag"],
        dialog={
            "title": "Set tags",
            "description": "The list of consumers can be narrowed to a tag.",
            "form_class": TagsDialog,
        },
    )
    def set_tags(self, request: HttpRequest, form: TagsDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            changed = set_tags(
                consumer=form.consumer,
                tags=form.cleaned_data["tags"].split(","),
                actor=actor_of(request),
                reason=form.reason,
                at=now(),
            )
            tags = ", ".join(form.consumer.tags) or "none"
            return f"Tags: {tags}." if changed else "These were the tags: nothing changed."

        return carry_out(request, form, deed, back=_page(object_id))

    @action(
        description="Add consumer",
        icon="person_add",
        permissions=["register"],
        dialog={
            "title": "Add a consumer",
            "description": "Before their app names them for the first time.",
            "form_class": RegisterDialog,
        },
    )
    def register(self, request: HttpRequest, form: RegisterDialog) -> HttpResponse:
        made: list[Consumer] = []

        def deed() -> str:
            made.append(_register(form, actor_of(request)))
            return "The consumer is known from now on."

        answer = carry_out(request, form, deed, back="")
        if made:
            answer.headers["HX-Redirect"] = _page(str(made[0].pk))
        return answer


class TagFilter(SimpleListFilter):
    """Those who carry a tag."""

    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        tagged = Consumer.objects.exclude(tags=[])
        tags = tagged.annotate(tag=Func(F("tags"), function="unnest")).values_list("tag", flat=True)
        return [(tag, tag) for tag in tags.distinct().order_by("tag")[:MOST_OFFERED]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Consumer]) -> QuerySet[Consumer]:
        wanted = self.value()
        return queryset.filter(tags__contains=[wanted]).exclude(tags=[]) if wanted else queryset


def _told(note: ConsumerNote) -> str:
    return f"{note.created_at:%Y-%m-%d} {note.text[:60]}"


def _register(form: RegisterDialog, actor: str) -> Consumer:
    asked = form.cleaned_data
    known = consumer_of(project=asked["project"], user_id=asked["own_id"])
    if known is not None:
        raise Conflict(f"{asked['project']} knows {asked['own_id']} already: search for it.")
    return register_consumer(
        project=asked["project"],
        external_id=asked["own_id"],
        email=asked["email"],
        actor=actor,
        reason=form.reason,
    )


def _page(object_id: str) -> str:
    """Without an anchor: to another place of the same page a browser only scrolls."""
    return reverse("admin:keystore_consumer_change", args=[object_id])
