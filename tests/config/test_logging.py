import json
import logging
import sys
from io import StringIO

import pytest
from django.utils.module_loading import import_string

from config.logging import JsonFormatter, ScrubSecrets, scrub
from keystore.correlation import bound

SECRETS = [
    "sk_live_canary51HqT2eZvKYlo2C",
    "rk_test_canary51HqT2eZvKYlo2C",
    "whsec_canary/abc+def==",
    "cs_test_canaryA1B2C3D4",
    "lk_live_canaryABCDEFGHIJKLMNOPQRSTUVWXYZ012345",
    "pk_test_canary51HqT2eZvKYlo2C",
    "sk_demo_canary_journal",
    "4242 4242 4242 4242",
    "4000-0000-0000-0002",
    "378282246310005",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl",
]


class Rude:
    def __str__(self):
        raise RuntimeError("no")


def line_of(message, *args, exc_info=None, **extra):
    """What the log's console gets, as a dict."""
    record = logging.getLogger("t").makeRecord(
        "t", logging.ERROR, "f.py", 1, message, args, exc_info, extra=extra
    )
    assert ScrubSecrets().filter(record) is True
    return json.loads(JsonFormatter().format(record))


def raised(error):
    try:
        raise error
    except type(error):
        return sys.exc_info()


@pytest.mark.parametrize("secret", SECRETS)
def test_secret_is_scrubbed_wherever_it_stands(secret):
    line = line_of(
        f"in text {secret}",
        exc_info=raised(ValueError(f"in error {secret}")),
        where={"deep": [f"in extra {secret}"]},
    )
    with_args = line_of("in argument %s", secret)

    told = json.dumps([line, with_args])
    assert secret not in told
    assert "canary" not in told
    assert told.count("[scrubbed]") == 4  # message, error, extra, argument


@pytest.mark.parametrize("header", ["Bearer abc.def", "bearer  abc.def", "Basic abc.def"])
def test_credentials_of_an_authorization_header_are_scrubbed(header):
    assert "abc.def" not in scrub(f"Authorization: {header}, next")


def test_password_in_an_address_is_scrubbed():
    assert scrub("postgres://billing:hunter2@db/x") == "postgres://billing:[scrubbed]@db/x"


def test_kind_of_a_key_stays_readable():
    assert scrub("used lk_live_abcdefgh!") == "used lk_[scrubbed]!"


@pytest.mark.parametrize(
    "harmless",
    ["task_keystore_wipe", "con_0199 grant_12", "1499 usd", "4242424242424241", "2026-11-20T12:00"],
)
def test_harmless_text_stays(harmless):
    assert scrub(harmless) == harmless


def test_field_with_a_secret_name_is_scrubbed_whatever_it_holds():
    line = line_of("x", api_key="short", headers={"Authorization": "abc"}, plaintext=b"abc")

    assert line["api_key"] == "[scrubbed]"
    assert line["headers"] == {"Authorization": "[scrubbed]"}
    assert line["plaintext"] == "[scrubbed]"


def test_card_number_as_a_number_is_scrubbed():
    assert line_of("x", number=4242424242424242)["number"] == "[scrubbed]"


def test_line_ends_cannot_forge_a_line():
    line = line_of("name %s", 'x\r\n{"level": "INFO"}\x1b[31m\u2028')

    assert line["message"] == 'name x\\r\\n{"level": "INFO"}\\x1b[31m\\u2028'


def test_wrong_arguments_do_not_break_the_caller():
    assert line_of("%d and %d", "one")["message"] == "%d and %d"
    assert line_of("%s", Rude(), rude=Rude())["rude"] == "<Rude>"


def test_line_names_time_level_logger_and_request():
    with bound("req_1"):
        line = line_of("hello")

    assert line["time"].endswith("+00:00")
    assert (line["level"], line["logger"], line["request_id"]) == ("ERROR", "t", "req_1")


def test_extra_fields_keep_their_json_types():
    line = line_of("x", count=3, ratio=0.5, ok=True, nothing=None, names=("a", "b"))

    assert [line[name] for name in ("count", "ratio", "ok", "nothing")] == [3, 0.5, True, None]
    assert line["names"] == ["a", "b"]


def test_one_filter_stands_before_every_handler(settings):
    handlers = settings.LOGGING["handlers"].values()

    assert all("scrub" in handler["filters"] for handler in handlers)


def test_a_stranger_fills_the_log_with_neither_errors_nor_tracebacks(client, settings):
    written = StringIO()
    handler = logging.StreamHandler(written)
    for name in settings.LOGGING["handlers"]["console"]["filters"]:
        given = dict(settings.LOGGING["filters"][name])
        handler.addFilter(import_string(given.pop("()"))(**given))
    handler.setFormatter(JsonFormatter())
    logging.getLogger("django.security").addHandler(handler)
    try:
        assert client.get("/whoami", headers={"Host": "evil.example"}).status_code == 400
    finally:
        logging.getLogger("django.security").removeHandler(handler)

    line = json.loads(written.getvalue())
    assert (line["level"], line["logger"]) == ("WARNING", "django.security.DisallowedHost")
    assert "evil.example" in line["message"]
    assert "error" not in line
