"""`.env.example` names every variable that the settings read, and no other."""

import ast
import re

from config import paths

EXAMPLE = re.compile(r"^(?:# )?([A-Z][A-Z0-9_]*)=", re.MULTILINE)
NAME = re.compile(r"^[A-Z][A-Z0-9_]+$")


def variables_read_by_settings() -> set[str]:
    """The names in calls `env("NAME")`, `env.bool("NAME")`; those of a loop from its tuple."""
    tree = ast.parse((paths.ROOT / "config/settings.py").read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and is_env(node.func)
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(node.args[0].value)
        if isinstance(node, ast.DictComp) and any(is_env(part) for part in ast.walk(node.value)):
            names = ast.walk(node.generators[0].iter)
            found |= {name.value for name in names if isinstance(name, ast.Constant)}
    return found


def is_env(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id == "env"


def variables_of_the_example() -> set[str]:
    return set(EXAMPLE.findall((paths.ROOT / ".env.example").read_text()))


def test_the_reader_finds_plain_typed_and_looped_variables():
    assert {"SECRET_KEY", "DEBUG", "DATABASE_URL", "RATE_LIMIT_PRO"} <= variables_read_by_settings()


def test_the_example_names_every_variable_that_settings_read():
    assert variables_read_by_settings() - variables_of_the_example() == set()


def test_the_example_names_nothing_that_settings_do_not_read():
    assert variables_of_the_example() - variables_read_by_settings() == set()
