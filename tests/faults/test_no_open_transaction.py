"""No transaction waits for Stripe: its locks would last as long as Stripe likes."""

import time

from tests.faults.transactions import Watch

HANG_SECONDS = 2.0
# Half a hang: far more than any transaction of ours takes on a busy machine.
LONGEST_SECONDS = HANG_SECONDS / 2


def test_no_transaction_is_open_while_stripe_hangs(stack, show):
    checkout = stack.buy("slow")
    stack.fault("*", "latency", seconds=HANG_SECONDS)
    with Watch(stack) as watch:
        begun = stack.begin("slower")  # the web process asks Stripe
        for _ in range(3):  # and so does the return page, under the customer's lock
            stack.ask(f"/api/v1/checkout/session/{checkout}")
        stack.wait_for("a sync in the worker or here", stack.is_syncing)
        time.sleep(HANG_SECONDS)
    stack.control("faults/clear")
    stack.wait_for("access", lambda: "pro" in stack.features("slow"))

    assert begun.seconds > HANG_SECONDS
    assert watch.samples > 100
    assert watch.oldest_seconds < LONGEST_SECONDS, watch.oldest
    kept = f"oldest of {watch.samples} samples {watch.oldest_seconds * 1000:.0f} ms"
    show("no transaction open across Stripe", tried=1, hit=1, kept=kept)
