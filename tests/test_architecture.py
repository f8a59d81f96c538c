"""The shape of the project: who may import whom, and how big a thing may get."""

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ["keystore", "entitlements", "metering", "billing"]  # each may import those before it
PLUMBING = ("config.errors", "config.clock")  # what an app may import of config
HTTP_FILES = (
    "api",
    "serializers",
    "authentication",
    "permissions",
    "pagination",
    "throttling",
    "idempotency",
)
MAY_IMPORT = {  # a library -> the files that may import it
    "stripe": ["billing/gateway.py", "sandbox/*"],
    "djstripe": ["billing/mirror.py", "billing/admin/mirror.py", "config/*"],
    "celery": ["*/tasks.py", "config/*"],
    "rest_framework": [
        *(f"*/{name}.py" for name in HTTP_FILES),
        "*/api/*.py",
        "*/urls.py",
        "*/parsers.py",
        "config/*",
    ],
    "sandbox": ["sandbox/*", "config/supervisor.py"],
    "requests": ["keystore/sender.py", "billing/gateway.py", "billing/invoice_pdf.py"],
    "requests_hardened": ["keystore/sender.py"],
}
VAGUE_NAMES = {"utils", "helpers", "common", "misc", "util", "helper", "base", "shared"}
LOCKING = Path("keystore/locking.py")
MAX_FUNCTION_LINES = 40
MAX_FILE_LINES = 400


def source_files(*folders: str) -> list[Path]:
    return sorted(
        path.relative_to(ROOT)
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if "migrations" not in path.parts and "djstripe_migrations" not in path.parts
    )


def imports_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import in the file, at any depth."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def layers_above(path: Path) -> list[str]:
    return LAYERS[LAYERS.index(path.parts[0]) + 1 :]


def upward_imports(path: Path, tree: ast.AST) -> list[str]:
    above = layers_above(path)
    return [f"{line}: {name}" for line, name in imports_of(tree) if name.split(".")[0] in above]


def foreign_config(tree: ast.AST) -> list[str]:
    return [
        f"{line}: {name}"
        for line, name in imports_of(tree)
        if name.split(".")[0] == "config"
        and not any(name == part or name.startswith(f"{part}.") for part in PLUMBING)
    ]


def misplaced_libraries(path: Path, tree: ast.AST) -> list[str]:
    return [
        f"{line}: {name} may be imported only in {MAY_IMPORT[name.split('.')[0]]}"
        for line, name in imports_of(tree)
        if (allowed := MAY_IMPORT.get(name.split(".")[0])) is not None
        and not any(fnmatch(path.as_posix(), pattern) for pattern in allowed)
    ]


def upward_strings(path: Path, tree: ast.AST) -> list[str]:
    """References such as "billing.Price" or "billing.tasks.work" that an import would not show."""
    starts = tuple(f"{layer}." for layer in layers_above(path))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        f"{node.lineno}: {node.value!r}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
        and starts
        and node.value.startswith(starts)
        and " " not in node.value
    ]


def long_functions(tree: ast.AST) -> list[str]:
    return [
        f"{node.lineno}: {node.name} has {length} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]


def computed_defaults(tree: ast.AST) -> list[str]:
    """Defaults that are frozen when the module is imported: `now()`, `settings.X`, `[]`."""
    return [
        f"{default.lineno}: {node.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        if not is_constant(default)
    ]


def is_constant(node: ast.AST) -> bool:
    """A default that cannot differ between import and call, `Enum.MEMBER` included."""
    if isinstance(node, ast.Constant | ast.Name):
        return True
    if isinstance(node, ast.UnaryOp):
        return is_constant(node.operand)
    if isinstance(node, ast.Tuple):
        return all(is_constant(item) for item in node.elts)
    root = node
    while isinstance(root, ast.Attribute):
        root = root.value
    if root is node or not isinstance(root, ast.Name):
        return False
    return root.id[:1].isupper() or root.id in sys.stdlib_module_names


def locks_in_the_way(tree: ast.AST) -> list[str]:
    """Row locks that also hold up inserts of rows which refer to the locked one."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [
        f"{call.lineno}: {call.func.attr}"
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and (
            call.func.attr == "update_or_create"  # keystore.locking.upsert does the same
            or (
                call.func.attr == "select_for_update"
                and not any(argument.arg == "no_key" for argument in call.keywords)
            )
        )
    ]


def relative_imports(tree: ast.AST) -> list[str]:
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return [f"{node.lineno}: {'.' * node.level}{node.module}" for node in nodes if node.level]


def small_file(text: str) -> list[str]:
    lines = text.count("\n")
    return [f"{lines} lines"] if lines > MAX_FILE_LINES else []


def says_something(path: Path) -> list[str]:
    return [f"what is {path.stem}?"] if path.stem in VAGUE_NAMES else []


def breaches_in(path: Path) -> dict[str, list[str]]:
    """Rule -> where the file breaks it."""
    text = (ROOT / path).read_text()
    tree = ast.parse(text)
    found = {
        "libraries": misplaced_libraries(path, tree),
        "small": [*long_functions(tree), *small_file(text)],
        "defaults": computed_defaults(tree),
        "names": [*relative_imports(tree), *says_something(path)],
    }
    if path.parts[0] in LAYERS:
        found |= {
            "layers": upward_imports(path, tree),
            "config": foreign_config(tree),
            "strings": upward_strings(path, tree),
            "locks": [] if path == LOCKING else locks_in_the_way(tree),
        }
    return found


@pytest.fixture(scope="module")
def breaches():
    """Rule -> each breach of it, with its file: every file is read once for all rules."""
    found: dict[str, list[str]] = {}
    for path in source_files(*LAYERS, "config", "sandbox"):
        for rule, places in breaches_in(path).items():
            found.setdefault(rule, []).extend(f"{path.as_posix()}:{one}" for one in places)
    return found


def test_app_imports_only_what_is_below_it(breaches):
    assert breaches["layers"] == []


def test_app_imports_only_errors_and_clock_of_config(breaches):
    assert breaches["config"] == []


def test_no_string_points_upward(breaches):
    assert breaches["strings"] == []


def test_row_locks_hold_up_nobody_who_only_refers_to_the_row(breaches):
    assert breaches["locks"] == []


def test_library_is_imported_only_where_it_belongs(breaches):
    assert breaches["libraries"] == []


def test_functions_and_files_stay_small(breaches):
    assert breaches["small"] == []


def test_no_default_is_computed_at_import(breaches):
    assert breaches["defaults"] == []


def test_imports_are_absolute_and_names_say_something(breaches):
    assert breaches["names"] == []


# --- The rules bite -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("keystore/x.py", "from billing.models import Price"),
        ("keystore/x.py", "def f():\n    import metering"),
        ("metering/x.py", "from billing import models"),
    ],
)
def test_upward_import_is_found(path, code):
    assert len(upward_imports(Path(path), ast.parse(code))) == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("billing/services.py", "import stripe"),
        ("billing/inbox.py", "from djstripe.models import Event"),
        ("keystore/services.py", "from celery import shared_task"),
        ("keystore/services.py", "from rest_framework.response import Response"),
        ("billing/gateway.py", "from sandbox import engine"),
    ],
)
def test_misplaced_library_is_found(path, code):
    assert len(misplaced_libraries(Path(path), ast.parse(code))) == 1


@pytest.mark.parametrize("default", ["now()", "settings.X", "[]", "{}", "1 + 1", "f'{x}'"])
def test_computed_default_is_found(default):
    assert len(computed_defaults(ast.parse(f"def f(*, x={default}): ..."))) == 1


@pytest.mark.parametrize("default", ["None", "-1", "()", "(1, 'a')", "Kind.LIVE", "LIVE"])
def test_constant_default_is_left_alone(default):
    assert computed_defaults(ast.parse(f"def f(x={default}): ...")) == []


def test_other_breaches_are_found():
    long = "def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES

    assert len(long_functions(ast.parse(long))) == 1
    assert len(foreign_config(ast.parse("from config import settings"))) == 1
    assert foreign_config(ast.parse("from config import clock\nfrom config.errors import E")) == []
    assert len(upward_strings(Path("keystore/x.py"), ast.parse("x = 'billing.Price'"))) == 1
    assert len(relative_imports(ast.parse("from . import models"))) == 1
    assert len(locks_in_the_way(ast.parse("rows.select_for_update(of=('self',))"))) == 1
    assert len(locks_in_the_way(ast.parse("Plan.objects.update_or_create(code='pro')"))) == 1
    assert locks_in_the_way(ast.parse("rows.select_for_update(no_key=True)")) == []
    assert small_file("\n" * MAX_FILE_LINES) == []
    assert len(small_file("\n" * (MAX_FILE_LINES + 1))) == 1
    assert says_something(Path("keystore/keys.py")) == []
    assert len(says_something(Path("keystore/utils.py"))) == 1
