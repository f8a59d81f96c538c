"""What the Stripe API documents, read from the types that stripe-python carries.

Stripe generates stripe-python from its API description: each service method names its HTTP
method, its path, a TypedDict of parameters and the class that it returns.
"""

import functools
import importlib
import inspect
import pathlib
import re
import types
import typing
from dataclasses import dataclass

import stripe
from stripe._object_classes import OBJECT_CLASSES
from stripe._request_options import RequestOptions
from stripe._stripe_object import StripeObject
from typing_extensions import is_typeddict

ROOT = pathlib.Path(stripe.__file__).parent
API_VERSION: str = stripe.api_version
UNIONS = (typing.Union, types.UnionType)
SENT_AS_HEADERS = set(RequestOptions.__annotations__)
METHOD = re.compile(r"^    def (\w+)\(", re.MULTILINE)
REQUEST = re.compile(r'self\._request\(\s*"(get|post|delete)",\s*"(/v1/[^"]+)"')
IMPORT = re.compile(r"^\s*from (stripe[\w.]*) import (\([^)]*\)|[^\n(]+)", re.MULTILINE)
# Written to every object of the type by Stripe only when a caller expands them.
ONLY_EXPANDED = {
    "customer": (
        "business_name", "cash_balance", "customer_account", "individual_name",
        "invoice_credit_balance", "sources", "subscriptions", "tax", "tax_ids",
    ),
    "invoice": ("payments", "confirmation_secret"),
    "price": ("currency_options", "tiers"),
    "coupon": ("applies_to", "currency_options"),
    "charge": ("refunds", "authorization_code", "level3"),
    "checkout.session": ("line_items",),
    "webhook_endpoint": ("secret",),
}  # fmt: skip


@dataclass(frozen=True)
class Route:
    """One documented call: `template` has {names} where ids go."""

    method: str
    template: str
    module: str
    function: str

    @functools.cached_property
    def params(self) -> typing.Any:
        return self._annotation("params")

    @functools.cached_property
    def answer(self) -> typing.Any:
        return self._annotation("return")

    def _annotation(self, name: str) -> typing.Any:
        module = importlib.import_module(self.module)
        service = next(
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and value.__module__ == self.module
            and self.function in vars(value)
        )
        hint = vars(service)[self.function].__annotations__.get(name)
        return typing.Any if hint is None else _resolve(hint, names_in(self.module))


@functools.cache
def names_in(module_name: str) -> dict[str, typing.Any]:
    """Every name that a module's annotations may use, the TYPE_CHECKING imports included."""
    module = importlib.import_module(module_name)
    names = {**vars(typing), **vars(module), "typing": typing}
    text = pathlib.Path(str(module.__file__)).read_text()
    for source_name, imported in IMPORT.findall(text):
        source = importlib.import_module(source_name)
        for alias in imported.strip("()").split(","):
            original, _, renamed = (part.strip() for part in alias.partition(" as "))
            if original and hasattr(source, original):
                names.setdefault(renamed or original, getattr(source, original))
    return names


def _resolve(hint: typing.Any, names: dict[str, typing.Any]) -> typing.Any:
    """Turn "Name", Optional["Name"] and the like into the types that they name."""
    holder = types.new_class("Holder")
    holder.__annotations__ = {"value": hint}
    # A proxy is never equal to the globals: keeps typing from caching by forward reference.
    local = types.MappingProxyType(names)
    return typing.get_type_hints(holder, names, local, include_extras=True)["value"]


@functools.cache
def fields_of(cls: type) -> dict[str, typing.Any]:
    """{field: type} of a TypedDict or of a Stripe object's class, bases included."""
    hidden = SENT_AS_HEADERS if is_typeddict(cls) else {"OBJECT_NAME"}
    fields: dict[str, typing.Any] = {}
    for base in [cls] if is_typeddict(cls) else reversed(cls.__mro__):
        if base is StripeObject or not base.__module__.startswith("stripe"):
            continue
        names = {**names_in(base.__module__), **vars(base)}
        for name, hint in inspect.get_annotations(base).items():
            if not name.startswith("_") and name not in hidden:
                fields[name] = _resolve(hint, names)
    return fields


@functools.cache
def object_class(name: str) -> type:
    """The class of `customer`, `checkout.session` and so on."""
    module, cls = OBJECT_CLASSES[name]
    found: type = getattr(importlib.import_module(module), cls)
    return found


def is_known_type(name: object) -> bool:
    return name in OBJECT_CLASSES


@functools.cache
def _routes_by_length() -> dict[tuple[str, int], list[tuple[list[str], Route]]]:
    found: dict[tuple[str, int], list[tuple[list[str], Route]]] = {}
    for file in sorted(ROOT.rglob("_*_service.py")):
        module = "stripe." + ".".join(file.relative_to(ROOT).with_suffix("").parts)
        text = file.read_text()
        starts = [(match.start(), match[1]) for match in METHOD.finditer(text)]
        for match in REQUEST.finditer(text):
            function = next(name for at, name in reversed(starts) if at < match.start())
            route = Route(match[1].upper(), match[2], module, function)
            segments = route.template.strip("/").split("/")
            found.setdefault((route.method, len(segments)), []).append((segments, route))
    # Fixed paths before templated ones: /v1/invoices/search before /v1/invoices/{invoice}.
    for routes in found.values():
        routes.sort(key=lambda pair: pair[1].template.count("{"))
    return found


def find_route(method: str, path: str) -> tuple[Route, list[str]] | None:
    """The documented call that this request makes, and the ids in its path."""
    given = path.strip("/").split("/")
    for segments, route in _routes_by_length().get((method, len(given)), ()):
        ids = match_segments(segments, given)
        if ids is not None:
            return route, ids
    return None


def match_segments(template: list[str], given: list[str]) -> list[str] | None:
    ids = []
    for wanted, segment in zip(template, given, strict=True):
        if wanted.startswith("{"):
            ids.append(segment)
        elif wanted != segment:
            return None
    return ids


def all_routes() -> list[Route]:
    return [route for routes in _routes_by_length().values() for _, route in routes]


def answer_class(route: Route) -> tuple[type | None, bool]:
    """The class that a call returns, and whether it returns a list of them."""
    hint, is_list = route.answer, False
    while typing.get_args(hint):
        origin = typing.get_origin(hint)
        is_list = is_list or getattr(origin, "__name__", "") == "ListObject"
        hint = typing.get_args(hint)[0]
    return (hint if isinstance(hint, type) else None), is_list
