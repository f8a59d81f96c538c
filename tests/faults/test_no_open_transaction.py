"""No transaction waits for Stripe: its locks would last as long as Stripe likes."""

from tests.faults.transactions import Watch

HANG_SECONDS = 2.5
# Far more than we compute between two statements on a busy machine, and less than a hang.
LONGEST_SECONDS = 2.0


def test_no_transaction_is_open_while_stripe_hangs(stack, show):
    stack.halt_at_rest("worker")  # it may still be at what an earlier test left to do
    stack.buy("slow")
    for match in ("POST /v1/customers", "GET /v1/*"):
        stack.fault(match, "latency", seconds=HANG_SECONDS, times=2)
    with Watch(stack) as watch:
        begun = stack.begin("slower")  # the web process asks Stripe
        stack.resume("worker")
        stack.wait_for("the worker's sync, under the customer's lock", stack.is_syncing)
        stack.wait_for("the end of the sync", lambda: not stack.is_syncing())
    stack.wait_for("access", lambda: "pro" in stack.features("slow"))

    assert begun.seconds > HANG_SECONDS
    assert watch.samples > 20
    assert watch.longest_seconds < LONGEST_SECONDS, watch.last_statement
    kept = f"idle for {watch.longest_seconds * 1000:.0f} ms at most, {watch.samples} samples"
    show("no transaction open across Stripe", tried=1, hit=1, kept=kept)
