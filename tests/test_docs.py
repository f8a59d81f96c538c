"""Whatever can be called, set or run is named in README.md or docs/."""

import importlib
import re
from pathlib import Path

import pytest
from django.urls import get_resolver, resolve
from drf_spectacular.generators import SchemaGenerator

from config.error_pages import error_codes
from config.problems import unknown_path

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


def test_every_error_code_is_documented():
    _ = get_resolver().url_patterns  # whose modules know the codes of their refusals
    for name in ("billing.demo", "billing.demo_history"):  # and these of commands
        importlib.import_module(name)
    page = (ROOT / "docs" / "errors.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d{3}) \|", page, re.MULTILINE))

    assert rows == {known.code: str(known.status) for known in error_codes()}


def test_every_secret_has_its_rotation():
    (section,) = re.findall(
        r"^## Rotating secrets$(.*?)^## ",
        (ROOT / "docs" / "operations.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    manifests = "\n".join(one.read_text() for one in (ROOT / "deploy" / "k8s").rglob("*.yaml"))
    secrets = set(re.findall(r"secretKeyRef: {name: latchkey, key: (\w+)", manifests))

    assert len(secrets) > 8
    assert [name for name in secrets if f"`{name}`" not in section] == []


@pytest.mark.parametrize("page", ["promises_of_the_seeds.md", "security.md"])
def test_every_test_that_a_page_names_exists(page):
    text = (ROOT / "docs" / page).read_text()
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", text)

    assert len(named) > 20
    for file, name in named:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(), f"{file}::{name}"


def test_every_promise_has_a_test_or_is_plainly_not_kept_yet():
    text = (ROOT / "docs" / "promises_of_the_seeds.md").read_text()
    rows = re.findall(r"^\| (.+) \| (.+) \|$", text.partition("## 000")[2], re.MULTILINE)
    rows = [row for row in rows if row != ("promise", "shown by")]

    assert [promise for promise, shown in rows if "::" not in shown] == []


def test_every_recipe_is_sound_python():
    for page in ("recipes.md", "hooks.md"):
        for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S):
            compile(block, page, "exec")


@pytest.mark.parametrize("page", ["integration_guide.md", "recipes.md", "operations.md"])
def test_every_address_that_a_page_names_exists(page):
    text = PARAMETER.sub("x", (ROOT / "docs" / page).read_text())
    found = {path.rstrip("/.") for path in re.findall(r"/(?:api|ofrep)/v1/[\w/.-]+", text)}

    assert [path for path in found if resolve(path).func is unknown_path] == []


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
