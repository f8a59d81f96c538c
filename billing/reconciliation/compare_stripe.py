"""What Stripe listed against our projections: one statement per kind of object.

Each statement makes a row per field that differs, as the columns of `Difference`. Left out is
what is under way: objects that are younger than the settling time, rows of ours that were synced
after the list was read, and objects with an unfinished operation.
"""

from billing.access import ENDED
from billing.models.operations import OPEN_STATES
from billing.models.projections import HOLDING
from billing.reconciliation.kinds import DriftKind


def words(values: object) -> str:
    """Constants of ours as an SQL list."""
    return ", ".join(f"'{value}'" for value in values)  # type: ignore[attr-defined]


def when(column: str) -> str:
    """An instant as text, in UTC."""
    return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS \"UTC\"')"


def yes_no(column: str) -> str:
    return f"CASE WHEN {column} THEN 'yes' ELSE 'no' END"


UNDER_WAY = f"""EXISTS (
    SELECT FROM billing_operation o
    WHERE o.subject = {{}} AND o.state IN ({words(OPEN_STATES)}))"""

CUSTOMERS = f"""
SELECT d.kind, l.stripe_id, l.stripe_id, l.project_id, l.consumer_id, d.field, d.ours, d.stripes
FROM billing_listedobject l
LEFT JOIN billing_stripecustomer c ON c.stripe_customer_id = l.stripe_id
CROSS JOIN LATERAL (VALUES
    ('{DriftKind.CUSTOMER_MISSING}', 'customer', '', l.stripe_id,
        c.id IS NULL AND NOT l.gone AND l.made_at <= %(settled)s),
    ('{DriftKind.CUSTOMER_DELETED}', 'deleted', 'no', l.status,
        l.gone AND c.deleted_at IS NULL AND c.id IS NOT NULL)
) AS d(kind, field, ours, stripes, differs)
WHERE l.batch = %(batch)s AND l.kind = 'customer' AND l.consumer_id IS NOT NULL AND d.differs
"""

SUBSCRIPTIONS = f"""
SELECT d.kind, l.stripe_id, l.stripe_customer_id, l.project_id, l.consumer_id,
    d.field, coalesce(d.ours, ''), coalesce(d.stripes, '')
FROM billing_listedobject l
JOIN billing_stripecustomer c ON c.stripe_customer_id = l.stripe_customer_id
LEFT JOIN billing_subscription s ON s.stripe_subscription_id = l.stripe_id
LEFT JOIN billing_price mine ON mine.id = s.price_id
LEFT JOIN LATERAL (
    SELECT p.id, p.stripe_price_id FROM billing_price p
    JOIN entitlements_plan plan ON plan.id = p.plan_id
    WHERE p.project_id = l.project_id AND p.stripe_price_id = ANY(l.price_ids)
    ORDER BY plan.rank DESC, p.kind = 'metered', p.id LIMIT 1
) best ON true
CROSS JOIN LATERAL (VALUES
    ('{DriftKind.SUBSCRIPTION_MISSING}', 'subscription', '', l.status,
        s.id IS NULL AND NOT l.gone AND l.made_at <= %(settled)s),
    ('{DriftKind.SUBSCRIPTION_NOT_AT_STRIPE}', 'subscription', s.status, l.status,
        l.gone AND s.status NOT IN ({words(sorted(ENDED))})),
    ('{DriftKind.SUBSCRIPTION_STATUS_DIFFERS}', 'status', s.status, l.status,
        NOT l.gone AND s.status <> l.status),
    ('{DriftKind.SUBSCRIPTION_PERIOD_DIFFERS}', 'current_period_start',
        {when("s.current_period_start")}, {when("l.period_start")},
        NOT l.gone AND s.id IS NOT NULL
            AND s.current_period_start IS DISTINCT FROM l.period_start),
    ('{DriftKind.SUBSCRIPTION_PERIOD_DIFFERS}', 'current_period_end',
        {when("s.current_period_end")}, {when("l.period_end")},
        NOT l.gone AND s.id IS NOT NULL AND s.current_period_end IS DISTINCT FROM l.period_end),
    ('{DriftKind.SUBSCRIPTION_PERIOD_DIFFERS}', 'cancel_at',
        {when("s.cancel_at")}, {when("l.cancel_at")},
        NOT l.gone AND s.id IS NOT NULL AND s.cancel_at IS DISTINCT FROM l.cancel_at),
    ('{DriftKind.SUBSCRIPTION_PERIOD_DIFFERS}', 'trial_end',
        {when("s.trial_end")}, {when("l.trial_end")},
        NOT l.gone AND s.id IS NOT NULL AND s.trial_end IS DISTINCT FROM l.trial_end),
    ('{DriftKind.SUBSCRIPTION_STATUS_DIFFERS}', 'paused',
        {yes_no("s.paused")}, {yes_no("l.paused")}, NOT l.gone AND s.paused <> l.paused),
    ('{DriftKind.SUBSCRIPTION_PERIOD_DIFFERS}', 'paid_until',
        {when("s.paid_until")}, {when("l.paid_until")},
        NOT l.gone AND s.id IS NOT NULL AND s.paid_until IS DISTINCT FROM l.paid_until),
    ('{DriftKind.SUBSCRIPTION_PRICE_OR_QUANTITY_DIFFERS}', 'price',
        mine.stripe_price_id, coalesce(best.stripe_price_id, array_to_string(l.price_ids, ', ')),
        NOT l.gone AND s.id IS NOT NULL AND s.price_id IS DISTINCT FROM best.id),
    ('{DriftKind.SUBSCRIPTION_PRICE_OR_QUANTITY_DIFFERS}', 'quantity',
        s.quantity::text, l.quantity::text, NOT l.gone AND s.quantity <> l.quantity)
) AS d(kind, field, ours, stripes, differs)
WHERE l.batch = %(batch)s AND l.kind = 'subscription' AND l.consumer_id IS NOT NULL
    AND d.differs
    AND (s.id IS NULL OR s.synced_at <= l.listed_at)
    AND NOT {UNDER_WAY.format("l.stripe_id")}
"""

PAYMENTS = f"""
SELECT d.kind, l.stripe_id, l.stripe_customer_id, l.project_id, l.consumer_id,
    d.field, coalesce(d.ours, ''), coalesce(d.stripes, '')
FROM billing_listedobject l
LEFT JOIN billing_payment p ON p.stripe_charge_id = l.stripe_id
CROSS JOIN LATERAL (VALUES
    ('{DriftKind.PAYMENT_MISSING}', 'charge', '', l.status || ', ' || l.amount_minor,
        p.id IS NULL AND l.made_at <= %(settled)s),
    ('{DriftKind.PAYMENT_DIFFERS}', 'status',
        p.status || CASE WHEN p.disputed THEN ', disputed' ELSE '' END, l.status,
        p.status || CASE WHEN p.disputed THEN ', disputed' ELSE '' END <> l.status),
    ('{DriftKind.PAYMENT_DIFFERS}', 'captured_minor', p.captured_minor::text,
        l.amount_minor::text, p.captured_minor <> l.amount_minor)
) AS d(kind, field, ours, stripes, differs)
WHERE l.batch = %(batch)s AND l.kind = 'charge' AND l.consumer_id IS NOT NULL
    AND d.differs AND (p.id IS NULL OR p.synced_at <= l.listed_at)
"""

REFUNDS = f"""
SELECT '{DriftKind.REFUND_MISSING_OR_AMOUNT_DIFFERS}', l.stripe_id, l.stripe_customer_id,
    l.project_id, l.consumer_id, d.field, coalesce(d.ours, ''), d.stripes
FROM billing_listedobject l
JOIN billing_payment p ON p.stripe_charge_id = l.parent_id
LEFT JOIN billing_refund r ON r.stripe_refund_id = l.stripe_id
CROSS JOIN LATERAL (VALUES
    ('refund', '', l.status || ', ' || l.amount_minor,
        r.id IS NULL AND l.made_at <= %(settled)s AND NOT EXISTS (
            SELECT FROM billing_refund w WHERE w.payment_id = p.id AND w.stripe_refund_id = ''
                AND w.status = 'wanted')),
    ('amount_minor', r.amount_minor::text, l.amount_minor::text,
        r.amount_minor <> l.amount_minor),
    ('status', r.status::text, l.status, r.status <> l.status)
) AS d(field, ours, stripes, differs)
WHERE l.batch = %(batch)s AND l.kind = 'refund' AND l.consumer_id IS NOT NULL
    AND d.differs AND (r.synced_at IS NULL OR r.synced_at <= l.listed_at)
    AND NOT {UNDER_WAY.format("l.parent_id")}
"""

# What Stripe gave back of each listed charge against the sum of our refunds of it.
GIVEN_BACK = f"""
SELECT '{DriftKind.REFUND_MISSING_OR_AMOUNT_DIFFERS}', l.stripe_id, l.stripe_customer_id,
    l.project_id, l.consumer_id, 'amount_refunded', coalesce(r.held, 0)::text,
    l.other_minor::text
FROM billing_listedobject l
JOIN billing_payment p ON p.stripe_charge_id = l.stripe_id
LEFT JOIN LATERAL (
    SELECT sum(amount_minor) AS held, bool_or(status = 'wanted') AS wanted
    FROM billing_refund WHERE payment_id = p.id AND status IN ({words(HOLDING)})
) r ON true
WHERE l.batch = %(batch)s AND l.kind = 'charge' AND l.consumer_id IS NOT NULL
    AND coalesce(r.held, 0) <> l.other_minor AND r.wanted IS NOT TRUE
    AND p.synced_at <= l.listed_at AND NOT {UNDER_WAY.format("l.stripe_id")}
    AND NOT EXISTS (
        SELECT FROM billing_listedobject again
        LEFT JOIN billing_refund known ON known.stripe_refund_id = again.stripe_id
        WHERE again.batch = l.batch AND again.kind = 'refund' AND again.parent_id = l.stripe_id
            AND (known.id IS NULL OR known.amount_minor <> again.amount_minor
                OR known.status <> again.status))
"""

DISPUTES = f"""
SELECT '{DriftKind.DISPUTE_MISSING_OR_DIFFERS}', l.stripe_id, l.stripe_customer_id,
    l.project_id, l.consumer_id, d.field, coalesce(d.ours, ''), d.stripes
FROM billing_listedobject l
LEFT JOIN billing_dispute known ON known.stripe_dispute_id = l.stripe_id
CROSS JOIN LATERAL (VALUES
    ('dispute', '', l.status || ', ' || l.amount_minor,
        known.id IS NULL AND l.made_at <= %(settled)s),
    ('status', known.status, l.status, known.status <> l.status),
    ('amount_minor', known.amount_minor::text, l.amount_minor::text,
        known.amount_minor <> l.amount_minor)
) AS d(field, ours, stripes, differs)
WHERE l.batch = %(batch)s AND l.kind = 'dispute' AND l.consumer_id IS NOT NULL
    AND d.differs AND (known.id IS NULL OR known.synced_at <= l.listed_at)
"""

INVOICES = f"""
SELECT d.kind, l.stripe_id, l.stripe_customer_id, l.project_id, l.consumer_id,
    d.field, coalesce(d.ours, ''), coalesce(d.stripes, '')
FROM billing_listedobject l
LEFT JOIN billing_invoice i ON i.stripe_invoice_id = l.stripe_id
CROSS JOIN LATERAL (VALUES
    ('{DriftKind.INVOICE_MISSING}', 'invoice', '', l.status || ', ' || l.amount_minor,
        i.id IS NULL AND l.made_at <= %(settled)s),
    ('{DriftKind.INVOICE_STATUS_DIFFERS}', 'status', i.status, l.status, i.status <> l.status),
    ('{DriftKind.INVOICE_STATUS_DIFFERS}', 'total_minor', i.total_minor::text,
        l.amount_minor::text, i.total_minor <> l.amount_minor),
    ('{DriftKind.INVOICE_STATUS_DIFFERS}', 'paid_minor', i.paid_minor::text,
        l.other_minor::text, i.paid_minor <> l.other_minor)
) AS d(kind, field, ours, stripes, differs)
WHERE l.batch = %(batch)s AND l.kind = 'invoice' AND l.consumer_id IS NOT NULL
    AND d.differs AND (i.id IS NULL OR i.synced_at <= l.listed_at)
"""
