"""Every address that the service has."""

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver


def patterns(
    found: list[URLPattern | URLResolver], start: str = ""
) -> Iterator[tuple[str, URLPattern]]:
    for one in found:
        address = start + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from patterns(one.url_patterns, address)
        else:
            yield address, one
