"""What a shop and its buyers do with the sandbox's pages in the tests."""

from typing import Any

SUCCESS = "http://127.0.0.1:8000/return?session_id={CHECKOUT_SESSION_ID}"
CANCEL = "http://127.0.0.1:8000/pricing"
GOOD, DECLINED, POOR, CHALLENGED = (
    "4242424242424242",
    "4000000000000002",
    "4000000000009995",
    "4000002760003184",
)
TYPED = {
    "email": "ada@example.com",
    "number": "4242 4242 4242 4242",
    "expiry": "12 / 34",
    "cvc": "123",
    "name": "Ada Lovelace",
}


def sell(client: Any, price: str, *, mode: str = "subscription", **more: Any) -> Any:
    wanted = {"success_url": SUCCESS, "cancel_url": CANCEL, "mode": mode}
    if mode != "setup":
        wanted["line_items"] = [{"price": price, "quantity": 1}]
    return client.checkout.sessions.create({**wanted, **more})


def get(sandbox: Any, url: str, **query: str) -> Any:
    path = url.removeprefix(sandbox.public_url)
    return sandbox.open_page("GET", path, query=query, form={})


def post(sandbox: Any, url: str, **form: str) -> Any:
    path = url.removeprefix(sandbox.public_url)
    return sandbox.open_page("POST", path, query={}, form=form)


def pay(sandbox: Any, session: Any, card: str = GOOD, email: str = "ada@example.com") -> Any:
    return post(sandbox, session.url, email=email, card=card)
