"""Whatever can be called, set or run is named in README.md or docs/."""

import re
from pathlib import Path

import pytest
from drf_spectacular.generators import SchemaGenerator

ROOT = Path(__file__).resolve().parent.parent
OURS = ["config", "keystore", "entitlements", "metering", "billing"]
PARAMETER = re.compile(r"\{[^}]*\}")


def documentation() -> str:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return "\n".join(page.read_text() for page in pages if page.exists())


def paths_named_in(text: str) -> set[str]:
    """Paths as written, with every parameter as `{}`."""
    return {PARAMETER.sub("{}", path).rstrip("/.") for path in re.findall(r"/[\w/{}.-]+", text)}


def commands() -> list[str]:
    return sorted(
        path.stem
        for app in OURS
        for path in (ROOT / app / "management" / "commands").glob("[a-z]*.py")
    )


def test_every_endpoint_is_documented():
    schema = SchemaGenerator().get_schema(public=True)
    named = paths_named_in(documentation())

    assert {PARAMETER.sub("{}", path).rstrip("/") for path in schema["paths"]} - named == set()


def test_every_setting_is_documented():
    example = (ROOT / ".env.example").read_text()
    names = re.findall(r"^(?:# ?)?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE)

    assert [name for name in names if name not in documentation()] == []


@pytest.mark.parametrize("name", commands())
def test_every_command_is_documented(name):
    assert re.search(rf"manage\.py {name}\b", documentation())


def test_every_decision_follows_the_template():
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))

    assert records
    for number, record in enumerate(records, start=1):
        assert record.name.startswith(f"{number:04d}-")
        headings = re.findall(r"^## (.+)$", record.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Alternatives"]


def test_every_link_between_pages_leads_somewhere():
    for page in (ROOT / "docs").rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"
