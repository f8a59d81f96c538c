"""What still works while Redis, Stripe or PostgreSQL is gone, over HTTP to real processes."""

import time
from types import SimpleNamespace

import pytest
import redis

from tests.faults.http import call, post_json
from tests.faults.stack import APP_KEY

SHARE_OF_BASIC = 60  # a minute's worth; this stack has one web process


@pytest.fixture(scope="package")
def buyer(_stack):
    """Somebody who bought basic before anything failed, with the key that came with it."""
    checkout = _stack.buy("steady", price="price_basic")
    _stack.wait_for("access", lambda: "basic" in _stack.features("steady"))
    return SimpleNamespace(user="steady", key=_stack.claim(checkout))


@pytest.fixture(params=["down", "hung"])
def without_redis(request, stack):
    """Redis refuses connections, or takes them and never answers."""
    stack.kill("valkey") if request.param == "down" else stack.halt("valkey")
    yield request.param
    stack.start_valkey() if request.param == "down" else stack.resume("valkey")


def verify(stack, buyer, web=""):
    return call("GET", f"{web or stack.web}/api/v1/keys/verify", X_API_Key=buyer.key)


def assert_clear_503(answer):
    assert (answer.status, answer.headers["retry-after"].isdigit()) == (503, True)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["code"].endswith("unavailable")


def assert_answers_without_stripe(stack, buyer, event_id, web=""):
    assert "basic" in stack.features(buyer.user, web=web)
    assert verify(stack, buyer, web).json["code"] == "VALID"
    heard = stack.hear(event_id, web=web)
    assert (heard.status, heard.json["first_time"]) == (200, True)


def test_everything_answers_right_without_redis(stack, buyer, without_redis, show):
    began = time.monotonic()
    wish = {"user_id": buyer.user, "feature_code": "labs", "granted_by": "a", "reason": "r"}

    assert "basic" in stack.features(buyer.user)
    assert stack.begin(f"redis-{without_redis}").json["state"] == "open"
    assert stack.hear(f"evt_redis_{without_redis}").json["first_time"] is True
    assert verify(stack, buyer).json["code"] == "VALID"
    assert call("GET", f"{stack.web}/whoami", X_API_Key=buyer.key).json["code"] == "VALID"
    granted = post_json(f"{stack.web}/api/v1/admin/grant", wish, X_API_Key=APP_KEY)
    assert granted.status == 201
    assert stack.features(buyer.user) >= {"basic", "labs"}
    assert call("GET", f"{stack.web}/ready").json["status"] == "degraded"
    kept = f"8 of 8 calls right, {time.monotonic() - began:.1f} s"
    show(f"Redis {without_redis}: all still works", tried=1, hit=1, kept=kept)


def test_without_redis_a_process_admits_its_share_and_no_more(stack, without_redis):
    user = f"share-{without_redis}"
    checkout = stack.buy(user, price="price_basic")
    # No worker without a broker: the return to the shop's page is enough.
    stack.wait_for("access", lambda: "basic" in bought_by_return(stack, checkout, user))
    caller = SimpleNamespace(key=stack.claim(checkout))

    answers = [verify(stack, caller) for _ in range(SHARE_OF_BASIC + 20)]

    assert [answer.status for answer in answers].count(200) == SHARE_OF_BASIC
    refused = next(answer for answer in answers if answer.status != 200)
    assert refused.status == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60


def bought_by_return(stack, checkout, user):
    assert stack.ask(f"/api/v1/checkout/session/{checkout}").status == 200
    return stack.features(user)


def test_with_stripe_down_only_checkout_waits(stack, buyer, show):
    web = stack.start_another_web("no-stripe", STRIPE_API_BASE="http://127.0.0.1:9")
    try:
        assert_answers_without_stripe(stack, buyer, "evt_stripe_down", web)
        begun = stack.begin("unlucky", web=web)
    finally:
        stack.end("no-stripe")

    assert_clear_503(begun)
    assert begun.seconds < 10
    show("Stripe down: 503, all else works", tried=1, hit=1, kept=f"{begun.seconds:.2f} s")


def test_with_stripe_hanging_checkout_ends_within_ten_seconds(stack, buyer, show):
    stack.halt("sandbox")
    try:
        begun = stack.begin("patient")
        assert_answers_without_stripe(stack, buyer, "evt_stripe_hangs")
    finally:
        stack.resume("sandbox")

    assert begun.status in (202, 503)
    assert begun.headers["retry-after"].isdigit()
    assert begun.seconds < 10
    kept = f"{begun.status} after {begun.seconds:.1f} s"
    show("Stripe hangs: an answer within 10 s", tried=1, hit=1, kept=kept)


def test_without_postgres_503_and_soon_well_again(stack, buyer, show):
    stack.kill("postgres")
    try:
        refused = [
            stack.ask(f"/api/v1/entitlements?user_id={buyer.user}"),
            stack.begin("nobody"),
            stack.hear("evt_no_database"),
            verify(stack, buyer),
        ]
        alive, ready = (call("GET", f"{stack.web}/{probe}") for probe in ("live", "ready"))
    finally:
        stack.start_postgres()
    again = time.monotonic()
    stack.wait_for("access", lambda: verify(stack, buyer).status == 200, seconds=15)

    for answer in refused:
        assert_clear_503(answer)
    assert (alive.status, ready.status) == (200, 503)
    assert "basic" in stack.features(buyer.user)
    kept = f"well {time.monotonic() - again:.2f} s after it is back"
    show("PostgreSQL down: 503, /live 200", tried=1, hit=1, kept=kept)


def test_a_webhook_before_the_migrations_is_to_be_sent_again(stack):
    stack.postgres.ensure_database("unmigrated")
    address = stack.postgres.url().removesuffix("/latchkey") + "/unmigrated"
    web = stack.start_another_web("unmigrated", DATABASE_URL=address)
    try:
        heard = stack.hear("evt_too_early", web=web)
    finally:
        stack.end("unmigrated")

    assert_clear_503(heard)


def test_a_worker_with_work_in_hand_comes_back_after_redis(stack, kills, show):
    """It tries to give its message back while it closes the connection that it lost."""
    broker = redis.Redis(unix_socket_path=str(stack.valkey.socket))
    users = [f"in-hand-{number}" for number in range(kills)]
    for user in users:
        stack.fault("GET /v1/*", "latency", seconds=2)
        stack.buy(user, price="price_basic")
        stack.wait_for("a sync begins", stack.is_syncing)
        stack.halt("worker")
        # Of its two lost connections it is to see that of its remote control first.
        broker.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        stack.kill("valkey")
        stack.resume("worker")
        time.sleep(1)
        stack.start_valkey()
        stack.control("faults/clear")
        stack.wait_for("access", lambda user=user: "basic" in stack.features(user), 60)
        stack.buy(f"{user}-next", price="price_basic")
        stack.wait_for("access", lambda user=user: "basic" in stack.features(f"{user}-next"), 60)
    show("Redis killed, work in hand", tried=kills, hit=kills, kept="the worker comes back")
