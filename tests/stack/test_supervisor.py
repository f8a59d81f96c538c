"""What `make run` says when it cannot start, and what `make down` does."""

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import dev_environment, paths, ports, stack_record, supervisor
from config.children import StackFailed


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty checkout instead of this one."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "STATE", tmp_path / ".latchkey")
    monkeypatch.setattr(paths, "SECRETS", tmp_path / ".latchkey" / "secrets.env")
    paths.STATE.mkdir()
    yield tmp_path
    if paths.place() != paths.STATE:  # root's place is elsewhere
        shutil.rmtree(paths.place())


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((ports.LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_is_named_with_what_to_do(taken_port: int):
    with pytest.raises(StackFailed) as refused:
        supervisor.check_ports(taken_port)

    message = str(refused.value)
    assert message.startswith(f"Port {taken_port} is in use by ")
    assert message.endswith(f"stop it or run `make run PORT={ports.first_free(taken_port + 1)}`.")


def test_the_owner_of_a_taken_port_is_found(taken_port: int):
    assert f"(pid {os.getpid()})" in ports.owner(taken_port)


def test_a_taken_sandbox_port_is_passed_over(taken_port: int):
    web_port = taken_port - supervisor.SANDBOX_OFFSET

    assert supervisor.check_ports(web_port) > taken_port


def test_a_second_start_in_a_checkout_says_that_it_runs(checkout: Path, capsys):
    stack_record.StackRecord(pid=4711, started="1", port=8000).save()
    with stack_record.lock():
        assert supervisor.main(["--port", "8001"]) == 1

    assert capsys.readouterr().err == (
        "Latchkey already runs in this checkout at http://127.0.0.1:8000 (pid 4711). "
        "`make down` stops it.\n"
    )


def test_down_without_a_stack_says_so(checkout: Path, capsys):
    assert supervisor.main(["--down"]) == 0

    assert capsys.readouterr().out == "No stack runs in this checkout.\n"


def test_reset_asks_first(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("builtins.input", lambda question: "")

    assert supervisor.main(["--reset"]) == 1
    assert paths.STATE.exists()


def test_forced_reset_deletes_the_state(checkout: Path):
    assert supervisor.main(["--reset", "--force"]) == 0
    assert not paths.STATE.exists()


def test_secrets_are_kept_between_starts_and_closed_to_others(checkout: Path):
    first = dev_environment.build(8000, 12111).variables
    second = dev_environment.build(8001, 12112).variables

    assert first["KEY_PEPPER"] == second["KEY_PEPPER"]
    assert len(first["KEY_PEPPER"]) >= 32
    assert stat.S_IMODE(paths.SECRETS.stat().st_mode) == 0o600


def test_debug_is_not_written_to_the_file_that_settings_read(checkout: Path):
    assert dev_environment.build(8000, 12111).variables["DEBUG"] == "true"
    assert "DEBUG" not in paths.SECRETS.read_text()


def test_mail_is_written_to_a_folder_that_is_told(checkout: Path, monkeypatch):
    environment = dev_environment.build(8000, 12111)
    assert environment.mail_folder == str(paths.STATE / "mail")
    assert f"Mail    {environment.mail_folder}" in supervisor.addresses(environment, 8000)

    monkeypatch.setenv("EMAIL_URL", "smtp://mail.example.com:25")
    environment = dev_environment.build(8000, 12111)
    assert environment.mail_folder == ""
    assert "Mail" not in supervisor.addresses(environment, 8000)


def test_a_real_stripe_key_leaves_no_known_webhook_secret(checkout: Path, monkeypatch):
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_test_" + "a" * 24)

    environment = dev_environment.build(8000, 12111)

    assert environment.embeds_stripe is False
    assert dev_environment.PLACEHOLDER_WEBHOOK_SECRET not in paths.SECRETS.read_text()


@pytest.mark.parametrize(
    ("variable", "part"),
    [("DATABASE_URL", "embeds_postgres"), ("REDIS_URL", "embeds_valkey")],
)
def test_a_given_address_replaces_the_embedded_server(checkout, monkeypatch, variable, part):
    monkeypatch.setenv(variable, "")
    assert getattr(dev_environment.build(8000, 12111), part) is True

    monkeypatch.setenv(variable, "redis://elsewhere")
    assert getattr(dev_environment.build(8000, 12111), part) is False


def test_what_a_dead_stack_left_is_known_by_pid_and_start(checkout: Path):
    record = stack_record.StackRecord(pid=1, started="1", port=8000)
    record.children["web"] = (1, "not when pid 1 started")

    assert stack_record.sweep(record) == []


def test_a_path_too_long_for_sockets_moves_the_place(checkout: Path, monkeypatch):
    deep = checkout / ("d" * 90) / ".latchkey"
    deep.parent.mkdir()
    monkeypatch.setattr(paths, "STATE", deep)

    place = paths.prepare_place()

    assert place.parent == Path("/var/tmp")
    assert paths.place() == place
    supervisor.main(["--reset", "--force"])
    assert not place.exists()


@pytest.mark.parametrize("given", ["abc", "0", "70000", "80.5"])
def test_a_port_that_is_none_is_refused_in_words(checkout, monkeypatch, given: str):
    monkeypatch.setenv("PORT", given)

    with pytest.raises(StackFailed, match="set it to a number from 1 to 65535"):
        supervisor.port_given()


@pytest.mark.parametrize("url", ["nonsense", "postgres://nobody:no@127.0.0.1:1/none"])
def test_a_database_that_is_not_there_is_named_with_what_to_do(url: str):
    with pytest.raises(StackFailed, match="leave it out: `make run` then starts its own"):
        supervisor.require_database(url)


def test_harmless_lines_are_shown_only_once_the_stack_is_ready(capsys):
    screen = supervisor.Screen()
    for ready in (False, True):
        screen.is_ready = ready
        screen.show("POST /webhooks/stripe 200")
        screen.show(f"said while ready={ready}")

    assert capsys.readouterr().out.splitlines() == [
        "said while ready=False",
        "POST /webhooks/stripe 200",
        "said while ready=True",
    ]


def test_a_database_on_a_socket_is_found_by_the_url_that_the_settings_read():
    supervisor.require_database(os.environ["DATABASE_URL"])
