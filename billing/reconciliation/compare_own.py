"""Our own layers against each other: refunds and payments, projections and mirror, what was sold
and what was granted, what was granted and the keys.

`reconciled_sale` holds what each sale opens, as `billing.access` says; SQL compares by sets.
"""

from billing.access import ENDED
from billing.models.projections import HOLDING
from billing.reconciliation.compare_stripe import UNDER_WAY, when, words
from billing.reconciliation.kinds import DriftKind

MAKE_SALES = """
CREATE TEMP TABLE reconciled_sale (
    ref text, project_id bigint, consumer_id bigint, plan_id bigint, plan_ids bigint[],
    valid_from timestamptz, valid_to timestamptz, ended boolean
) ON COMMIT DROP
"""
COPY_WINDOWS = "COPY reconciled_window (kind, sale_id, valid_from, valid_to) FROM STDIN"
MAKE_WINDOWS = """
CREATE TEMP TABLE reconciled_window (
    kind text, sale_id bigint, valid_from timestamptz, valid_to timestamptz
) ON COMMIT DROP
"""

SCOPE = """
    AND (%(project)s::bigint IS NULL OR {0}.project_id = %(project)s)
    AND (%(consumer)s::bigint IS NULL OR {0}.consumer_id = %(consumer)s)
"""

# The plans of a subscription are those of all its items, which only Stripe's list names.
FILL_SUBSCRIPTIONS = f"""
INSERT INTO reconciled_sale
SELECT s.stripe_subscription_id, s.project_id, s.consumer_id, s.plan_id,
    coalesce(items.plan_ids, CASE WHEN s.plan_id IS NULL THEN '{{}}' ELSE ARRAY[s.plan_id] END),
    w.valid_from, w.valid_to, s.status IN ({words(sorted(ENDED))})
FROM billing_subscription s
LEFT JOIN reconciled_window w ON w.kind = 'subscription' AND w.sale_id = s.id
LEFT JOIN billing_listedobject l ON l.batch = %(batch)s AND l.kind = 'subscription'
    AND l.stripe_id = s.stripe_subscription_id AND NOT l.gone AND cardinality(l.price_ids) > 1
LEFT JOIN LATERAL (
    SELECT array_agg(DISTINCT p.plan_id) AS plan_ids FROM billing_price p
    WHERE l.id IS NOT NULL AND p.project_id = s.project_id
        AND p.stripe_price_id = ANY(l.price_ids)
) items ON true
WHERE NOT {UNDER_WAY.format("s.stripe_subscription_id")} {SCOPE.format("s")}
"""
FILL_PURCHASES = f"""
INSERT INTO reconciled_sale
SELECT coalesce(nullif(b.stripe_payment_intent_id, ''), b.public_id), b.project_id,
    b.consumer_id, p.plan_id, ARRAY[p.plan_id], w.valid_from, w.valid_to, false
FROM billing_purchase b
JOIN billing_price p ON p.id = b.price_id
LEFT JOIN reconciled_window w ON w.kind = 'purchase' AND w.sale_id = b.id
WHERE true {SCOPE.format("b")}
"""

# Upstream differences explain those below them, and the same repair mends both.
EXPLAINED = """EXISTS (
    SELECT FROM billing_drift up
    WHERE up.run_id = %(run)s AND up.state = 'open' AND up.object_id = {})"""

LEDGER = f"""
SELECT '{DriftKind.LEDGER_DIFFERS}', p.stripe_charge_id, coalesce(c.stripe_customer_id, ''),
    p.project_id, p.consumer_id, 'refunded_minor', p.refunded_minor::text,
    least(coalesce(r.held, 0), p.captured_minor)::text
FROM billing_payment p
LEFT JOIN billing_stripecustomer c ON c.consumer_id = p.consumer_id
LEFT JOIN (
    SELECT payment_id, sum(amount_minor) AS held FROM billing_refund
    WHERE status IN ({words(HOLDING)}) GROUP BY payment_id
) r ON r.payment_id = p.id
WHERE p.refunded_minor <> least(coalesce(r.held, 0), p.captured_minor)
    AND NOT {EXPLAINED.format("p.stripe_charge_id")} {SCOPE.format("p")}
"""

MIRROR = f"""
SELECT '{DriftKind.MIRROR_DIFFERS}', s.stripe_subscription_id,
    coalesce(c.stripe_customer_id, ''), s.project_id, s.consumer_id, 'mirrored status',
    coalesce(m.status, 'not mirrored'), s.status
FROM billing_subscription s
LEFT JOIN billing_stripecustomer c ON c.consumer_id = s.consumer_id
LEFT JOIN ({{mirrored}}) m ON m.stripe_id = s.stripe_subscription_id
WHERE m.status IS DISTINCT FROM s.status
    AND NOT {UNDER_WAY.format("s.stripe_subscription_id")}
    AND NOT {EXPLAINED.format("s.stripe_subscription_id")} {SCOPE.format("s")}
"""

GRANTS = f"""
WITH wanted AS (
    SELECT sale.ref, sale.consumer_id, sale.project_id, one.plan_id, sale.valid_from,
        sale.valid_to
    FROM reconciled_sale sale CROSS JOIN LATERAL unnest(sale.plan_ids) AS one(plan_id)
    WHERE sale.valid_from IS NOT NULL
), held AS (
    SELECT g.source_ref AS ref, g.consumer_id, g.project_id, g.plan_id, g.valid_from, g.valid_to
    FROM entitlements_grant g
    WHERE g.revoked_at IS NULL AND g.source_ref <> g.public_id AND g.plan_id IS NOT NULL
        AND EXISTS (SELECT FROM reconciled_sale sale WHERE sale.ref = g.source_ref)
        {SCOPE.format("g")}
), both_sides AS (
    SELECT ref, coalesce(wanted.consumer_id, held.consumer_id) AS consumer_id,
        coalesce(wanted.project_id, held.project_id) AS project_id,
        plan_id, held.ref IS NULL AS lacking, wanted.ref IS NULL AS extra,
        held.valid_from AS our_from, held.valid_to AS our_to,
        wanted.valid_from, wanted.valid_to
    FROM (SELECT *, ref AS wanted_ref FROM wanted) wanted
    FULL JOIN (SELECT *, ref AS held_ref FROM held) held USING (ref, plan_id)
)
SELECT d.kind, b.ref, coalesce(c.stripe_customer_id, ''), b.project_id, b.consumer_id,
    d.field, coalesce(d.ours, ''), coalesce(d.stripes, '')
FROM both_sides b
LEFT JOIN entitlements_plan plan ON plan.id = b.plan_id
LEFT JOIN billing_stripecustomer c ON c.consumer_id = b.consumer_id
CROSS JOIN LATERAL (VALUES
    ('{DriftKind.GRANT_MISSING_OR_EXTRA}', 'grant of ' || plan.code, 'none', 'granted',
        b.lacking),
    ('{DriftKind.GRANT_MISSING_OR_EXTRA}', 'grant of ' || plan.code, 'granted', 'none',
        b.extra),
    ('{DriftKind.GRANT_WINDOW_DIFFERS}', 'valid_from of ' || plan.code,
        {when("b.our_from")}, {when("b.valid_from")},
        NOT b.lacking AND NOT b.extra AND b.our_from IS DISTINCT FROM b.valid_from),
    ('{DriftKind.GRANT_WINDOW_DIFFERS}', 'valid_to of ' || plan.code,
        coalesce({when("b.our_to")}, 'no end'), coalesce({when("b.valid_to")}, 'no end'),
        NOT b.lacking AND NOT b.extra AND b.our_to IS DISTINCT FROM b.valid_to)
) AS d(kind, field, ours, stripes, differs)
WHERE d.differs AND NOT {EXPLAINED.format("b.ref")}
"""

KEYS = f"""
WITH slot AS (
    SELECT DISTINCT ON (project_id, provisioned_for) *
    FROM keystore_apikey k
    WHERE provisioned_for <> '' AND replaced_at IS NULL {SCOPE.format("k")}
    ORDER BY project_id, provisioned_for, id DESC
), state AS (
    SELECT sale.*, slot.id AS key_id, slot.revoked_at, slot.disabled_at,
        slot.disabled_because, slot.plan_limit_per_minute, slot.expires_at,
        plan.limit_per_minute, plan.issues_key,
        sale.valid_from IS NOT NULL AND sale.valid_from <= %(at)s
            AND (sale.valid_to IS NULL OR sale.valid_to > %(at)s) AS is_open,
        greatest(sale.valid_to, slot.created_at + interval '1 microsecond') AS wanted_expiry
    FROM reconciled_sale sale
    JOIN entitlements_plan plan ON plan.id = sale.plan_id
    LEFT JOIN slot ON slot.project_id = sale.project_id
        AND slot.provisioned_for = sale.ref || ':default'
)
SELECT d.kind, k.ref, coalesce(c.stripe_customer_id, ''), k.project_id, k.consumer_id,
    d.field, coalesce(d.ours, ''), coalesce(d.stripes, '')
FROM state k
LEFT JOIN billing_stripecustomer c ON c.consumer_id = k.consumer_id
CROSS JOIN LATERAL (VALUES
    ('{DriftKind.KEY_MISSING}', 'key', 'none', 'issued',
        k.is_open AND k.issues_key AND k.key_id IS NULL),
    ('{DriftKind.KEY_STATE_DIFFERS}', 'suspended', 'yes', 'no',
        k.is_open AND k.issues_key AND k.revoked_at IS NULL AND k.disabled_because = 'payment'),
    ('{DriftKind.KEY_STATE_DIFFERS}', 'suspended', 'no', 'yes',
        NOT k.is_open AND NOT k.ended AND k.key_id IS NOT NULL AND k.revoked_at IS NULL
            AND k.disabled_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > %(at)s)),
    ('{DriftKind.KEY_STATE_DIFFERS}', 'revoked', 'no', 'yes',
        NOT k.is_open AND k.ended AND k.key_id IS NOT NULL AND k.revoked_at IS NULL),
    ('{DriftKind.KEY_STATE_DIFFERS}', 'expires_at',
        coalesce({when("k.expires_at")}, 'never'),
        coalesce({when("k.wanted_expiry")}, 'never'),
        k.is_open AND k.issues_key AND k.key_id IS NOT NULL AND k.revoked_at IS NULL
            AND k.expires_at IS DISTINCT FROM
                CASE WHEN k.valid_to IS NULL THEN NULL ELSE k.wanted_expiry END),
    ('{DriftKind.KEY_LIMIT_DIFFERS}', 'limit_per_minute',
        coalesce(k.plan_limit_per_minute::text, 'none'),
        coalesce(k.limit_per_minute::text, 'none'),
        k.is_open AND k.issues_key AND k.key_id IS NOT NULL AND k.revoked_at IS NULL
            AND k.plan_limit_per_minute IS DISTINCT FROM k.limit_per_minute)
) AS d(kind, field, ours, stripes, differs)
WHERE d.differs AND NOT {EXPLAINED.format("k.ref")}
"""
