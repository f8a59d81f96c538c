"""A sandbox that is started again knows whom it knew."""

import stripe

from sandbox import Sandbox
from sandbox.memory import Memory


def test_a_restart_forgets_nothing(tmp_path):
    before = Sandbox()
    client = stripe.StripeClient("sk_test_memory", http_client=before.http_client())
    ada = client.v1.customers.create({"email": "ada@example.com"})
    client.v1.payment_methods.attach("pm_card_visa", {"customer": ada.id})
    Memory(before, tmp_path / "sandbox.state").save()

    after = Sandbox()
    assert Memory(after, tmp_path / "sandbox.state").recall() is True

    assert after.store.by_id == before.store.by_id
    assert after.store.hidden == before.store.hidden
    assert after.store.get("customer", ada.id) is after.store.find(ada.id)


def test_there_is_nothing_to_recall_at_the_first_start(tmp_path):
    assert Memory(Sandbox(), tmp_path / "sandbox.state").recall() is False


def test_a_file_of_another_version_is_left_aside(tmp_path, capsys):
    path = tmp_path / "sandbox.state"
    path.write_bytes(b"csandbox.gone\nNothing\n.")

    sandbox = Sandbox()
    assert Memory(sandbox, path).recall() is False

    assert sandbox.store.find("acct_sandbox0000000001") is not None
    assert "starting empty" in capsys.readouterr().out
