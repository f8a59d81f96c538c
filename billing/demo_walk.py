"""What `make run` prints: who may log in, which keys there are, and requests to try."""

from billing.demo import APP_KEY
from billing.demo_logins import ADMIN, ROLES, Logins
from keystore.models import Project

REPLAY = """\
python3 - <<'PY'
import hmac, hashlib, json, time, urllib.request
secret = "whsec_placeholder"
events = [
    {{
        "id": "evt_cli_pi_succeeded",
        "type": "payment_intent.succeeded",
        "data": {{"object": {{"id": "pi_cli_123", "customer": "cus_cli_123", "amount": 1499, "currency": "usd"}}}}
    }}
]
for event in events:
    payload = json.dumps(event).encode()
    ts = str(int(time.time()))
    sig = hmac.new(secret.encode(), f"{{ts}}.".encode() + payload, hashlib.sha256).hexdigest()
    req = urllib.request.Request(
        "{web}/api/v1/webhooks/stripe",
        data=payload,
        headers={{"Content-Type": "application/json", "stripe-signature": f"t={{ts}},v1={{sig}}"}},
        method="POST",
    )
    with urllib.request.urlopen(req) as resp:
        print(event["type"], resp.status, resp.read().decode())
PY"""  # noqa: E501  as the integration guide prints it

CHECKOUT = """\
curl -X POST {web}/api/v1/checkout/session \\
  -H "Content-Type: application/json" \\
  -H "X-API-Key: {key}" \\
  -d '{{
        "user_id": "user_42",
        "project_id": {project},
        "price_id": "{price}",
        "mode": "subscription",
        "success_url": "https://app.local/success",
        "cancel_url": "https://app.local/cancel"
      }}'"""
PORTAL = """\
curl -X POST {web}/api/v1/portal/session \\
  -H "Content-Type: application/json" \\
  -H "X-API-Key: {key}" \\
  -d '{{
        "user_id": "user_42",
        "project_id": {project},
        "return_url": "https://app.local/account"
      }}'"""
ENTITLEMENTS = """\
curl "{web}/api/v1/entitlements?user_id={user}&project_id={project}" \\
  -H "X-API-Key: {key}\""""
GRANT = """\
curl -X POST {web}/api/v1/admin/{act} \\
  -H "Content-Type: application/json" \\
  -H "X-API-Key: {key}" \\
  -d '{{
        "user_id": "user_42",
        "project_id": {project},
        "feature_code": "labs",
        "{by}": "support@spacehq",
        "reason": "VIP pilot"{until}
      }}'"""
METRICS = """\
curl {web}/api/v1/metrics/project/{project}/{what} \\
  -H "X-API-Key: {key}\""""
PUBLIC_CHECKOUT = """\
curl -s -X POST {web}/billing/create-checkout-session \\
  -H 'Content-Type: application/json' \\
  -d '{{
    "plan": "pro",
    "success_url": "http://localhost/success",
    "cancel_url": "http://localhost/cancel",
    "customer_email": "user@example.com"
  }}'"""


def walk_of(*, project: Project, price_id: str, logins: Logins, web: str, token: str = "") -> str:
    """The whole text; `web` is where the service answers, such as http://127.0.0.1:8000."""
    steps = [*_steps(project, price_id, web), *_key_steps(logins, web), *_token_steps(token, web)]
    shown = "\n\n".join(f"# {title}\n{command}" for title, command in steps)
    return f"{_logins(logins, web)}\n\n{_keys(logins)}\n\nA walk, to paste:\n\n{shown}\n"


def _logins(logins: Logins, web: str) -> str:
    rows = [(ADMIN, "every right"), *ROLES.items()]
    known = [(name, role) for name, role in rows if name in logins.known]
    lines = [f"  {name:<9} {logins.known[name]:<18} {role}" for name, role in known]
    return "\n".join([f"Staff logins for {web}/admin/ (kept in {logins.path}):", *lines])


def _keys(logins: Logins) -> str:
    lines = [f"  {APP_KEY:<46} the app, every scope (demo only)"]
    if "ada_key" in logins.known:
        lines.append(f"  {logins.known['ada_key']:<46} ada, who bought pro")
    return "\n".join(["API keys:", *lines])


def _steps(project: Project, price_id: str, web: str) -> list[tuple[str, str]]:
    told = {"web": web, "key": APP_KEY, "project": project.pk, "price": price_id}
    grant = GRANT.format(
        **told, act="grant", by="granted_by", until=',\n        "valid_to": "2036-01-01T00:00:00Z"'
    )
    revoke = GRANT.format(**told, act="revoke", by="revoked_by", until="")
    both = [ENTITLEMENTS.format(**told, user=user) for user in ("user_42", "ada")]
    figures = [METRICS.format(**told, what=what) for what in ("subscriptions", "revenue")]
    pay = "open the checkout_url, pay with 4242 4242 4242 4242"
    return [
        ("Is it up?", f"curl {web}/health"),
        (f"user_42 wants pro: {pay}", CHECKOUT.format(**told)),
        ("... and manages it later", PORTAL.format(**told)),
        ("What may user_42 use? And ada, who bought pro?", "\n".join(both)),
        ("Give labs by hand, take it back", f"{grant}\n{revoke}"),
        ("The figures", "\n".join(figures)),
        ("An event as Stripe would send it", REPLAY.format(web=web)),
        ("The public checkout, without a key", PUBLIC_CHECKOUT.format(web=web)),
    ]


def _key_steps(logins: Logins, web: str) -> list[tuple[str, str]]:
    if "ada_key" not in logins.known:
        return []
    key = logins.known["ada_key"]
    return [
        ("The gateway asks who calls with ada's key", f'curl -H "X-API-Key: {key}" {web}/whoami')
    ]


def _token_steps(token: str, web: str) -> list[tuple[str, str]]:
    if not token:
        return []
    asked = f'curl -H "Authorization: Bearer {token}" {web}/api/v1/consumers/ada'
    return [("ada herself asks who she is, with a token of the sign-in service", asked)]
