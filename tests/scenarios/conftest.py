"""The demo data, made once for all tests of a module: they read it, or play other users."""

import pytest

from tests.servers import restore

APP_KEY = "sk_demo_space_journal"


@pytest.fixture(scope="module")
def demo(django_db_setup, django_db_blocker, tmp_path_factory):
    """Project 1, its app key, its catalogue and its people, as `make run` makes them."""
    from billing import gateway
    from billing.demo import build_demo
    from billing.demo_logins import Logins
    from config.clock import now
    from sandbox import Sandbox

    sandbox = Sandbox(verify=True)
    with django_db_blocker.unblock():
        gateway.connect(sandbox.http_client())
        build_demo(logins=Logins(tmp_path_factory.mktemp("demo") / "logins.env"), clock=now)
        yield sandbox
        gateway.connect(None)
        restore()


@pytest.fixture
def seed(demo):
    """A client that sends requests as the seeds print them."""
    from rest_framework.test import APIClient

    client = APIClient()
    client.credentials(HTTP_X_API_KEY=APP_KEY)
    return client
