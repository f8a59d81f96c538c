import pytest
import stripe
from django.core.checks import Error
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from djstripe.models import APIKey

from config import checks

SAFE = {
    "DEBUG": False,
    "SECRET_KEY": "s" * 32,
    "KEY_PEPPER": "p" * 32,
    "ALLOWED_HOSTS": ["billing.example.com"],
    "PUBLIC_URL": "https://billing.example.com",
    "STRIPE_WEBHOOK_SECRETS": ["whsec_abc"],
    "STRIPE_WEBHOOK_TOLERANCE_SECONDS": 300,
    "STRIPE_LIVE_MODE": True,
    "STRIPE_USES_SANDBOX": False,
    "STRIPE_API_BASE": "https://api.stripe.com",
    "ALLOW_SANDBOX": False,
    "HOOKS_ALLOW_PRIVATE_ADDRESSES": False,
    "TIME_ZONE": "UTC",
    "USE_TZ": True,
}
LOCAL = {"STRIPE_LIVE_MODE": False, "STRIPE_API_BASE": "http://127.0.0.1:12111"}
SANDBOX = {**LOCAL, "STRIPE_USES_SANDBOX": True}
DANGEROUS = [
    ("E001", {"STRIPE_WEBHOOK_SECRETS": []}),
    ("E002", {"STRIPE_WEBHOOK_SECRETS": ["whsec_abc", "sk_live_abc"]}),
    ("E002", {"STRIPE_WEBHOOK_SECRETS": ["whsec_"]}),
    ("E003", {"SECRET_KEY": "s" * 31}),
    ("E004", {"KEY_PEPPER": "p" * 31}),
    ("E005", {"DEBUG": True}),
    ("E006", {"STRIPE_API_BASE": "http://127.0.0.1:12111"}),
    ("E006", {"STRIPE_API_BASE": "https://api.stripe.com.evil.example"}),
    ("E007", {"STRIPE_LIVE_MODE": False, "STRIPE_API_BASE": "http://10.0.0.8:12111"}),
    ("E008", {"ALLOWED_HOSTS": ["*"]}),
    ("E009", {"PUBLIC_URL": "http://billing.example.com"}),
    ("E010", SANDBOX),
    ("E011", {"STRIPE_WEBHOOK_TOLERANCE_SECONDS": 0}),
    ("E011", {"STRIPE_WEBHOOK_TOLERANCE_SECONDS": 301}),
    ("E012", {"USE_TZ": False}),
    ("E020", {"STAFF_SECOND_FACTOR": "off"}),
    ("E021", {"STEP_UP_MINUTES": 0}),
    ("E021", {"STAFF_IDLE_MINUTES": 481}),
    ("E021", {"STAFF_SESSION_HOURS": 25}),
    ("E014", {"STRIPE_WEBHOOK_SECRETS": ["whsec_abc", "whsec_placeholder"]}),
    ("E016", {"JWT_SECRET": "your-secret-key"}),
    ("E016", {"JWT_SECRET": "your-secret-key-change-in-production"}),
    ("E016", {"JWT_SECRET": "a" * 64}),
    ("E015", {"HOOKS_ALLOW_PRIVATE_ADDRESSES": True}),
]
HARMLESS = [
    {},
    {**SANDBOX, "ALLOW_SANDBOX": True},
    {**SANDBOX, "DEBUG": True, "PUBLIC_URL": "http://box.lan:8000", "ALLOWED_HOSTS": ["*"]},
    {**LOCAL, "STRIPE_API_BASE": "http://localhost:12111"},
    {"STRIPE_LIVE_MODE": False, "HOOKS_ALLOW_PRIVATE_ADDRESSES": True},
    {"PUBLIC_URL": "http://[::1]:8000"},
    {**SANDBOX, "ALLOW_SANDBOX": True, "STRIPE_WEBHOOK_SECRETS": ["whsec_placeholder"]},
    {"STRIPE_WEBHOOK_TOLERANCE_SECONDS": 1},
]


@pytest.fixture
def given(settings):
    """Sets what it is given on top of settings that are safe in production."""

    def give(**changes):
        for name, value in {**SAFE, **changes}.items():
            setattr(settings, name, value)

    return give


@pytest.mark.parametrize(("check_id", "changes"), DANGEROUS)
def test_dangerous_setting_stops_the_start(given, check_id, changes):
    given(**changes)

    found = checks.check_settings()

    assert [error.id for error in found] == [f"latchkey.{check_id}"]
    assert all(isinstance(error, Error) and error.hint for error in found)


@pytest.mark.parametrize("changes", HARMLESS)
def test_sound_settings_pass(given, changes):
    given(**changes)

    assert checks.check_settings() == []


def test_other_time_zone_stops_the_start(given, monkeypatch, settings):
    given()
    monkeypatch.setattr(settings._wrapped, "TIME_ZONE", "Europe/Berlin", raising=False)

    assert [error.id for error in checks.check_settings()] == ["latchkey.E012"]


def test_start_names_every_problem_and_its_remedy(given):
    given(STRIPE_WEBHOOK_SECRETS=[], KEY_PEPPER="short")

    with pytest.raises(ImproperlyConfigured, match=r"(?s)E001.*whsec_.*E004.*openssl"):
        checks.refuse_dangerous_settings()


def test_manage_check_fails_on_them(given):
    given(STRIPE_WEBHOOK_SECRETS=[])

    with pytest.raises(SystemCheckError, match=r"latchkey\.E001"):
        call_command("check", tags=["latchkey"])


def test_stripe_key_in_the_database_is_found(db):
    assert checks.check_stored_stripe_keys(databases=["default"]) == []
    APIKey.objects.bulk_create(
        [APIKey(id="key_1", type="secret", livemode=False, secret="sk_test_1")]
    )

    (error,) = checks.check_stored_stripe_keys(databases=["default"])

    assert error.id == "latchkey.E013"


def test_start_asks_no_database():
    assert checks.check_stored_stripe_keys() == []


def test_one_version_of_stripe_is_spoken(settings):
    assert stripe.api_version == settings.STRIPE_API_VERSION
