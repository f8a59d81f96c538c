"""By no filter and no cursor does a stranger learn that something of alice's exists: the answer is
the one that they get for what nobody has.
"""

import json
import re

import pytest
from drf_spectacular.generators import SchemaGenerator

from tests.api_access_cast import CANARY
from tests.test_api_access import PARAMETER, ask, endpoints, table, world  # noqa: F401

STRANGERS = {
    "B": "an app of another project",
    "W": "an administrator of another project",
    "V": "bob, of the same project",
}
# Of what a list may be asked for: what is alice's, and what nobody has.
NAMES = {
    "user_id": ("alice", "nobody"),
    "email": (f"{CANARY}@a.example", "nobody@a.example"),
    "project_id": ("journal", "nothing"),
    "project": ("journal", "nothing"),
    "endpoint_id": ("{endpoint_id}", "whe_nothing"),
    "key": ("{key_id}", "key_nothing"),
    "api": ("canary_api", "no_api"),
    "meter": ("labs", "no_meter"),
    "feature_code": ("labs", "no_feature"),
    "feature": ("labs", "no_feature"),
    "plan": ("pro", "no_plan"),
    "claim": ("{reference}", "chk_nothing"),
}
# Those that narrow down what was found, and name nothing that anybody owns.
NARROWING = {
    *("limit", "cursor", "status", "state", "type", "failure", "since", "until", "from", "to"),
    *("window", "timezone", "format", "form", "group_by", "breakdown", "dimension", "currency"),
    *("explain", "usage", "cost", "environment", "scopes", "request_id", "source", "stream"),
}
OWN = re.compile(r'"request_id":\s*"[^"]*"')


def lists() -> dict[str, str]:
    """The addresses that name nothing, which whoever gets in asks about somebody."""
    return {
        row: pattern
        for row, pattern in endpoints().items()
        if row.startswith("GET ")
        and not PARAMETER.search(pattern)
        and "N" not in table().get(row, "N")
    }


def told(world, letter, row, pattern, name, value):  # noqa: F811
    """The answer, without what was asked for."""
    status, body, _ = ask(world, letter, row, pattern, **{"user_id": "", name: value})
    return status, re.sub(rf"\b{re.escape(value)}\b", "?", OWN.sub("", body))


def first_ids(world, row, pattern):  # noqa: F811
    """How alice's app would go on behind each row of the list."""
    status, body, _ = ask(world, "A", row, pattern, user_id="")
    rows = json.loads(body).get("data", []) if status == 200 else []
    shown = (one for one in rows if isinstance(one, dict))
    return [one[name] for one in shown for name in ("id", "event_id") if one.get(name)]


@pytest.mark.parametrize("letter", STRANGERS)
def test_what_is_named_in_a_filter_might_as_well_not_exist(world, letter):  # noqa: F811
    different = {}
    for row, pattern in lists().items():
        if letter not in table()[row]:
            continue
        for name, (hers, nobodys) in NAMES.items():
            theirs = hers.format(**world.named)
            answer = told(world, letter, row, pattern, name, theirs)
            if answer != told(world, letter, row, pattern, name, nobodys):
                different[f"{row}?{name}={theirs}"] = answer

    assert different == {}


def test_a_cursor_of_another_is_one_that_nobody_has(world):  # noqa: F811
    different = {}
    tried = 0
    for row, pattern in lists().items():
        strangers = [letter for letter in STRANGERS if letter in table()[row]]
        for cursor in first_ids(world, row, pattern) if strangers else ():
            for letter in strangers:
                tried += 1
                answer = told(world, letter, row, pattern, "cursor", cursor)
                if answer != told(world, letter, row, pattern, "cursor", "xyz_nothing"):
                    different[f"{letter} {row}?cursor={cursor}"] = answer

    assert different == {}
    assert tried > 10


def test_every_parameter_of_the_api_is_looked_at():
    operations = [
        one
        for methods in SchemaGenerator().get_schema(public=True)["paths"].values()
        for one in methods.values()
    ]
    known = {
        each["name"]
        for one in operations
        for each in one.get("parameters", [])
        if each["in"] == "query"
    }

    assert known - set(NAMES) - NARROWING == set()
