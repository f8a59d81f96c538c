"""The one account whose keys are used here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.registry import Call, on
from sandbox.shapes import blank
from sandbox.store import Object

if TYPE_CHECKING:
    from sandbox.world import Sandbox

ACCOUNT_ID = "acct_sandbox0000000001"


def open_account(sandbox: Sandbox) -> Object:
    account = blank("account")
    account.update(
        id=ACCOUNT_ID,
        business_type="company",
        charges_enabled=True,
        payouts_enabled=True,
        details_submitted=True,
        country="US",
        created=sandbox.now(),
        default_currency="usd",
        email="sandbox@latchkey.example",
        metadata={},
        type="standard",
    )
    return sandbox.store.put(account)


@on("GET /v1/account")
def retrieve_account(call: Call) -> Object:
    return call.store.get("account", ACCOUNT_ID)
