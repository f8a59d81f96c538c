"""What creators list: their APIs, who may see them, and what is public."""

from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from billing.models import ApiListing, Creator
from config.errors import Conflict, NotFound
from keystore import audit
from keystore.models import Api, Consumer, Project


class ApiNotFound(NotFound):
    code = "api_not_found"


class ApiCodeTaken(Conflict):
    code = "api_code_taken"


def find_api(*, project: Project, name: str, owner: Consumer | None, only_own: bool) -> Api:
    """The API by our id or its code; with `only_own`, only among the owner's. ApiNotFound."""
    rows = Api.objects.select_related("project", "listing__creator").filter(project=project)
    if only_own:
        rows = rows.filter(listing__creator__consumer=owner) if owner else rows.none()
    known = "\x00" not in name
    found = (
        (rows.filter(public_id=name).first() or rows.filter(code=name).first()) if known else None
    )
    if found is None:
        raise ApiNotFound("There is no such API.")
    return found


@transaction.atomic
def list_api(
    *,
    creator: Creator,
    code: str,
    name: str,
    description: str,
    published: bool,
    actor: str,
    at: datetime,
) -> ApiListing:
    """A new API of the creator. Raises ApiCodeTaken."""
    try:
        with transaction.atomic():
            api = Api.objects.create(project_id=creator.project_id, code=code, name=name)
    except IntegrityError as twin:
        raise ApiCodeTaken(f"The code {code!r} is in use: choose another one.") from twin
    listing = ApiListing.objects.create(
        api=api,
        creator=creator,
        description=description,
        published_at=at if published else None,
        created_at=at,
    )
    after = {"code": code, "name": name, "published": published}
    _record(listing, "api.list", actor, at, before=None, after=after)
    return listing


@transaction.atomic
def change_listing(
    *,
    listing: ApiListing,
    name: str | None,
    description: str | None,
    published: bool | None,
    actor: str,
    at: datetime,
) -> ApiListing:
    """Only what is not None. What was bought stays when it is not published any more."""
    rows = ApiListing.objects.select_for_update(of=("self",), no_key=True).select_related(
        "api", "creator"
    )
    row = rows.get(pk=listing.pk)
    before = _told(row)
    if name is not None:
        row.api.name = name
        row.api.save(update_fields=["name"])
    if description is not None:
        row.description = description
    if published is not None and published != (row.published_at is not None):
        row.published_at = at if published else None
    row.save(update_fields=["description", "published_at"])
    if _told(row) != before:
        _record(row, "api.change", actor, at, before=before, after=_told(row))
    return row


def _told(row: ApiListing) -> dict[str, object]:
    published = row.published_at is not None
    return {"name": row.api.name, "description": row.description, "published": published}


def _record(
    listing: ApiListing, act: str, actor: str, at: datetime, *, before: object, after: object
) -> None:
    audit.record(
        actor=actor,
        act=act,
        target=listing.api,
        consumer=listing.creator.consumer,
        before=before,
        after=after,
        at=at,
    )


def published_apis(*, project: Project) -> QuerySet[Api]:
    """The public marketplace: each API with its creator's plans and prices on sale."""
    rows = Api.objects.filter(project=project, listing__published_at__isnull=False)
    return rows.select_related("listing__creator").prefetch_related("plans__prices")


def apis_of(*, project: Project, owner: Consumer | None, only_own: bool) -> QuerySet[Api]:
    """The owner's APIs; without `only_own`, every listed one of the project."""
    rows = Api.objects.filter(project=project, listing__isnull=False)
    if only_own or owner is not None:
        rows = rows.filter(listing__creator__consumer=owner) if owner else rows.none()
    return rows.select_related("listing__creator").prefetch_related("plans__prices")
