"""The catalogue of journal. Models are imported inside: pytest reads this before the settings."""

import pytest


@pytest.fixture
def labs(journal):
    """A feature that no plan contains."""
    return _feature(journal, "labs", name="Labs")


@pytest.fixture
def export(journal):
    """A feature that the pro plan contains."""
    return _feature(journal, "export")


@pytest.fixture
def exports(journal):
    """A limit: 10 with the basic plan, 100 with pro."""
    return _feature(journal, "exports", kind="limit")


@pytest.fixture
def theme(journal):
    """A config value that no plan contains."""
    return _feature(journal, "theme", kind="config")


@pytest.fixture
def basic(journal, exports):
    return _plan(journal, "basic", 1, {"feature": exports, "limit": 10, "reset": "day"})


@pytest.fixture
def pro(journal, export, exports):
    many = {"feature": exports, "limit": 100, "reset": "calendar_month"}
    return _plan(journal, "pro", 2, {"feature": export}, many)


def _feature(project, code, **fields):
    from entitlements.models import Feature

    return Feature.objects.create(project=project, code=code, **fields)


def _plan(project, code, rank, *contents):
    from entitlements.models import Plan, PlanFeature

    plan = Plan.objects.create(project=project, code=code, name=code.title(), rank=rank)
    for content in contents:
        PlanFeature.objects.create(plan=plan, **content)
    return plan
