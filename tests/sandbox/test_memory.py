"""A sandbox that is started again knows whom it knew."""

from sandbox import Sandbox
from sandbox.memory import Memory


def test_a_restart_forgets_nothing(tmp_path):
    before = Sandbox()
    before.store.put({"id": "cus_1", "object": "customer", "email": "ada@example.com"})
    before.store.hide("cus_1", seen=True)
    Memory(before, tmp_path / "sandbox.json").save()

    after = Sandbox()
    assert Memory(after, tmp_path / "sandbox.json").recall() is True

    assert after.store.get("customer", "cus_1") is after.store.find("cus_1")
    assert after.store.by_id == before.store.by_id
    assert after.store.secret("cus_1", "seen") is True


def test_there_is_nothing_to_recall_at_the_first_start(tmp_path):
    assert Memory(Sandbox(), tmp_path / "sandbox.json").recall() is False
