"""Every setting, from the environment. `.env.example` explains each variable.

Dangerous values are refused at start by `config.checks`.
"""

from datetime import timedelta
from pathlib import Path

import environ
from django.utils.translation import gettext_lazy as _

from config import paths

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
env.smart_cast = False
environ.Env.read_env(BASE_DIR / ".env")
environ.Env.read_env(paths.SECRETS)  # made by `make run`, absent in production

# --- Django -----------------------------------------------------------------------------------
SECRET_KEY = env("SECRET_KEY")
# The demo's tokens are signed with it; other projects' issuers are rows (`manage.py issuers`).
JWT_SECRET = env("JWT_SECRET", default="")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Where buyers and Stripe reach this service; return pages and claim links start with it.
PUBLIC_URL = env("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
FORMS_URLFIELD_ASSUME_HTTPS = True

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "axes",
    "django_otp",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "djstripe",
    "config.apps.ConfigApp",
    "keystore.apps.KeystoreApp",
    "entitlements.apps.EntitlementsApp",
    "metering.apps.MeteringApp",
    "billing.apps.BillingApp",
]

MIDDLEWARE = [
    "config.middleware.ProbeHostMiddleware",
    "config.http_metrics.HttpMetricsMiddleware",
    "config.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.middleware.ContentSecurityPolicyMiddleware",
    "config.middleware.NoNulMiddleware",
    "config.middleware.DatabaseDownMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "keystore.admin.gate.StaffGateMiddleware",
    "axes.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Data -------------------------------------------------------------------------------------
DATABASES = {"default": env.db_url("DATABASE_URL", default=paths.database_url())}
DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
DATABASES["default"]["CONN_MAX_AGE"] = env.int("DATABASE_CONN_MAX_AGE", default=600)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"].setdefault("OPTIONS", {})["options"] = (
    "-c idle_in_transaction_session_timeout=10s -c lock_timeout=3s -c statement_timeout=15s"
)
MIGRATION_MODULES = {"djstripe": "config.djstripe_migrations"}

# Redis holds only what may be lost: rate-limit counters and the Celery broker.
REDIS_URL = env("REDIS_URL", default=paths.redis_url())
CELERY_BROKER_URL = env("CELERY_BROKER_URL", default=paths.broker_url(REDIS_URL))

# --- Keys -------------------------------------------------------------------------------------
# Keyed digests of API keys; the previous pepper still verifies while a new one rolls in.
KEY_PEPPER = env("KEY_PEPPER")
KEY_PEPPER_PREVIOUS = env("KEY_PEPPER_PREVIOUS", default="")
# The project whose plans `POST /billing/create-checkout-session` sells without a key. "": off.
PUBLIC_CHECKOUT_PROJECT = env("PUBLIC_CHECKOUT_PROJECT", default="")
# Proxies between the internet and us that append to X-Forwarded-For. 0: use the socket's address.
TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)
# Web processes that share the rate limits while Redis is down: each takes its part.
WEB_PROCESSES = env.int("WEB_PROCESSES", default=1)

# Whose reports of leaked keys are taken: public keys listed at an address, or in PEM. "": nobody's.
SECRET_SCANNING_KEYS_URL = env("SECRET_SCANNING_KEYS_URL", default="")
SECRET_SCANNING_PUBLIC_KEYS = env("SECRET_SCANNING_PUBLIC_KEYS", default="").replace("\\n", "\n")

# --- The hot way ----------------------------------------------------------------------------------
# Answers the few questions that are asked all the time before Django; off: Django answers all.
FRONT_DOOR = env.bool("FRONT_DOOR", default=True)
# Holds answers in each web process until somebody changes them. One value for every process, since
# whoever takes access away waits until no other process holds it.
PUSH_CACHE = env.bool("PUSH_CACHE", default=True)
PUSH_CACHE_MEGABYTES = env.int("PUSH_CACHE_MEGABYTES", default=64)

# --- Staff --------------------------------------------------------------------------------------
# required: nobody opens the admin without a second factor. optional: whoever has one must use it.
STAFF_SECOND_FACTOR = env(
    "STAFF_SECOND_FACTOR", default="optional" if DEBUG else "required"
).lower()
# For how long a password or code that was just given lets staff refund, make keys, change roles.
STEP_UP_MINUTES = env.int("STEP_UP_MINUTES", default=10)
STAFF_IDLE_MINUTES = env.int("STAFF_IDLE_MINUTES", default=30)
STAFF_SESSION_HOURS = env.int("STAFF_SESSION_HOURS", default=12)
LOGIN_URL = "admin:login"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "CommonPasswordValidator")
] + [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    }
]
# Guessing locks the guesser's address out for that user, not the user out of their own.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # the page names an hour that holds
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "keystore.addresses.guessing_address"
AXES_LOCKOUT_CALLABLE = "keystore.admin.lockout.refuse_locked_out"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "step_up_proof", "code"]
AXES_ENABLE_ADMIN = False  # our pages of its tables only show
AXES_ENABLE_ACCESS_FAILURE_LOG = True
AXES_VERBOSE = False

# --- Stripe -----------------------------------------------------------------------------------
# One version everywhere: calls, webhooks, sandbox. A test fails when the library moves on.
STRIPE_API_VERSION = "2026-08-26.dahlia"
SANDBOX_SECRET_KEY = "sk_test_sandboxsandboxsandboxsandbox"  # only ever accepted by the sandbox
STRIPE_SECRET_KEY = env("STRIPE_SECRET_KEY", default="") or SANDBOX_SECRET_KEY
STRIPE_LIVE_MODE = "_live_" in STRIPE_SECRET_KEY
STRIPE_USES_SANDBOX = STRIPE_SECRET_KEY == SANDBOX_SECRET_KEY
# Without DEBUG the sandbox must be asked for, so that no shop opens on play money by mistake.
ALLOW_SANDBOX = env.bool("ALLOW_SANDBOX", default=False)
# Where Stripe is. Only the sandbox has an address of its own.
STRIPE_API_BASE = env(
    "STRIPE_API_BASE",
    default="http://127.0.0.1:12111" if STRIPE_USES_SANDBOX else "https://api.stripe.com",
).rstrip("/")
# Signing secrets of our webhook endpoint, newest first; several while one rolls.
STRIPE_WEBHOOK_SECRETS = env.list(
    "STRIPE_WEBHOOK_SECRETS", default=env.list("STRIPE_WEBHOOK_SECRET", default=[])
)
STRIPE_WEBHOOK_TOLERANCE_SECONDS = env.int("STRIPE_WEBHOOK_TOLERANCE_SECONDS", default=300)
# Checkout and portal are on these hosts; the pages' form-action names them.
STRIPE_PAGE_ORIGINS = [
    "https://checkout.stripe.com",
    "https://billing.stripe.com",
    "https://invoice.stripe.com",
    *([STRIPE_API_BASE] if STRIPE_USES_SANDBOX else []),
]

DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
DJSTRIPE_SUBSCRIBER_CUSTOMER_KEY = None  # its metadata linking is not used
STRIPE_TEST_SECRET_KEY = "" if STRIPE_LIVE_MODE else STRIPE_SECRET_KEY
STRIPE_LIVE_SECRET_KEY = STRIPE_SECRET_KEY if STRIPE_LIVE_MODE else ""

# --- Reconciliation: Stripe compared with what we have ------------------------------------------
RECONCILIATION_ENABLED = env.bool("RECONCILIATION_ENABLED", default=True)
# The hour of the day, in UTC, from which on the day's run starts.
RECONCILIATION_SCHEDULE_HOUR = env.int("RECONCILIATION_SCHEDULE_HOUR", default=3)
# Charges, refunds and invoices of so many days; customers, subscriptions, disputes always all.
RECONCILIATION_DAYS_BACK = env.int("RECONCILIATION_DAYS_BACK", default=7)
# Kinds of difference that the nightly run repairs by itself; "all"; empty: it only looks.
RECONCILIATION_REPAIR_KINDS = env.list("RECONCILIATION_REPAIR_KINDS", default=[])
# Well below Stripe's limit (100 a second with a live key, 25 with a test key).
RECONCILIATION_REQUESTS_PER_SECOND = env.float("RECONCILIATION_REQUESTS_PER_SECOND", default=15.0)
USAGE_REPORTS_PER_SECOND = env.float("USAGE_REPORTS_PER_SECOND", default=20.0)

# --- Usage ----------------------------------------------------------------------------------------
# Whole months of single events that `manage.py usage prune` leaves; 0 keeps all. Totals stay.
USAGE_RETENTION_MONTHS = env.int("USAGE_RETENTION_MONTHS", default=13)
# For so long after a billing period ends, late usage still counts in it; later it is an adjustment
# of the next one. Stripe closes an invoice an hour after its period.
USAGE_GRACE_MINUTES = env.int("USAGE_GRACE_MINUTES", default=45)

# --- Catalogue: price ids and limits that `manage.py catalog` reads ------------------------------
CATALOG_VARIABLES = {
    name: env(name, default="")
    for name in (
        "PRICE_ID_PRO",
        "PRICE_ID_TEAM",
        "PRICE_ID_ENTERPRISE",
        "RATE_LIMIT_PRO",
        "RATE_LIMIT_TEAM",
        "RATE_LIMIT_ENTERPRISE",
        "STRIPE_PRICE_BASIC",
        "STRIPE_PRICE_PRO",
        "STRIPE_PRICE_ENTERPRISE",
    )
}

# --- Web --------------------------------------------------------------------------------------
STATIC_URL = "/static/"
# Filled by collectstatic; with DEBUG the files are served from where they lie.
STATIC_ROOT = None if DEBUG else BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_500_000

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY_COUNT else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = not DEBUG
SECURE_REDIRECT_EXEMPT = [r"^(health|live|ready|metrics)$"]  # probes come without TLS
SECURE_HSTS_SECONDS = 0 if DEBUG else 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not DEBUG
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = STAFF_SESSION_HOURS * 3600
DASHBOARD_COOKIE_NAME = "dashboard"
if not DEBUG:  # browsers take such a cookie from this host alone, over TLS alone
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
    DASHBOARD_COOKIE_NAME = "__Host-dashboard"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
APPEND_SLASH = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["keystore.authentication.AppKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["keystore.parsers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.problems.drf_exception_handler",
    "UNAUTHENTICATED_USER": None,
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Latchkey",
    "DESCRIPTION": "Who is calling, what they may use, how much they used, what was paid.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVERS": [{"url": "/", "description": "Where this was read."}],
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/(?:api/v1)?",  # group by what comes after it
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    # Words that several bodies use under one name get a name of their own each.
    "ENUM_NAME_OVERRIDES": {
        "CheckoutMode": "billing.models.CheckoutMode",
        "ReconciliationMode": "billing.models.RunMode",
        "ReconciliationState": "billing.models.RunState",
        "DriftState": "billing.models.DriftState",
        "FeatureKind": "entitlements.models.FeatureKind",
        "OfferKind": "billing.models.OfferKind",
        "InboxState": "billing.models.InboxState",
        "EntitlementReasonEnum": "entitlements.serializers.REASONS",
        "GrantSource": "entitlements.models.GrantSource",
        "CreditSource": "metering.models.CreditSource",
    },
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "keystore.openapi.add_refusals",
        "keystore.openapi.add_security",
        "keystore.openapi.say_anything_once",
    ],
}

# --- Outgoing hooks -------------------------------------------------------------------------------
# Lets hooks go to private addresses and over http: development and networks of one's own only.
HOOKS_ALLOW_PRIVATE_ADDRESSES = env.bool("HOOKS_ALLOW_PRIVATE_ADDRESSES", default=False)
# Days after which what was told is forgotten.
HOOKS_KEEP_DAYS = env.int("HOOKS_KEEP_DAYS", default=90)

# --- Language and time --------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("de", _("German"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_TZ = True
FORMAT_MODULE_PATH = "config.formats"  # instants are shown as 2026-03-09 17:30
TIME_ZONE = "UTC"

# --- Seen from outside --------------------------------------------------------------------------
# Bearer token of /metrics. "": only callers on this machine may read them.
METRICS_TOKEN = env("METRICS_TOKEN", default="")
# Where the web processes of this machine count requests together. "": each counts its own.
HTTP_METRICS_FOLDER = env("PROMETHEUS_MULTIPROC_DIR", default="")
# What worker and beat touch while they work, for probes that look at its age. "": nothing.
ALIVE_FILE = env("ALIVE_FILE", default="")

# --- Logs and mail ------------------------------------------------------------------------------
LOG_LEVEL = env("LOG_LEVEL", default="INFO").upper()
LOG_FORMAT = env("LOG_FORMAT", default="json")  # json, or text for people
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "refusals": {"()": "config.logging.RefusalsInOneLine"},
        "scrub": {"()": "config.logging.ScrubSecrets"},
    },
    "formatters": {
        "json": {"()": "config.logging.JsonFormatter"},
        "text": {"format": "%(levelname)s %(name)s %(message)s"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "filters": ["refusals", "scrub"],
            "formatter": LOG_FORMAT,
        }
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # Refusals are told by the request's own line; only what is our fault gets a traceback.
        "django.request": {"level": "ERROR"},
        "django.server": {"handlers": ["console"], "level": LOG_LEVEL, "propagate": False},
        "axes": {"level": "WARNING"},  # locked out; every login is in its tables
        # Two lines per call, and complaints about parents that the mirror reads a moment later.
        "stripe": {"level": "WARNING"},
        "djstripe": {"level": "CRITICAL"},
    },
}
vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", default="latchkey@localhost")
# Who is told when something needs a person.
ALERT_EMAILS = env.list("ALERT_EMAILS", default=[])

from config.adminui import UNFOLD  # noqa: E402, F401  the admin's look, kept in one place
from config.schedule import BEAT as JOB_SCHEDULE  # noqa: E402, F401  which job should have run
