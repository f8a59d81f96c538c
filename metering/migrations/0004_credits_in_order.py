"""Credits given back in part, moved to the use that kept them, and never locked crosswise."""

from django.db import migrations

LOCK = """
-- Two periods of one limit pay from the same packs, each in an order of its own. Whoever changes
-- what remains of one holds this first.
CREATE OR REPLACE FUNCTION metering_lock_credits(the_consumer bigint, the_meter bigint) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended(
        'credits ' || the_consumer || ' ' || the_meter, 0))
$$;
"""

RETURN = """
DROP FUNCTION IF EXISTS metering_return(text, timestamptz);

-- Give back to their packs what `the_reference` spent of them and was not yet given back: all of
-- it, or `most`. What was spent last comes back first.
CREATE OR REPLACE FUNCTION metering_return(
    the_reference text, moment timestamptz, most numeric DEFAULT NULL
) RETURNS numeric
LANGUAGE plpgsql AS $$
DECLARE
    spent record;
    part numeric;
    total numeric := 0;
BEGIN
    PERFORM metering_lock_credits(p.consumer_id, p.meter_id)
    FROM metering_creditentry AS e JOIN metering_creditpack AS p ON p.id = e.pack_id
    WHERE e.reference = the_reference LIMIT 1;
    FOR spent IN
        SELECT pack_id, -sum(delta) AS open FROM metering_creditentry
        WHERE reference = the_reference AND kind IN ('spent', 'returned')
        GROUP BY pack_id HAVING sum(delta) < 0
        ORDER BY max(id) FILTER (WHERE kind = 'spent') DESC
    LOOP
        part := least(spent.open, coalesce(most - total, spent.open));
        EXIT WHEN part <= 0;
        UPDATE metering_creditpack SET remaining = remaining + part WHERE id = spent.pack_id;
        INSERT INTO metering_creditentry (pack_id, kind, delta, reference, created_at)
        VALUES (spent.pack_id, 'returned', part, the_reference, moment);
        total := total + part;
    END LOOP;
    RETURN total;
END $$;

-- What `the_reference` spent is from now on spent by `heir`. The packs keep what they have.
CREATE OR REPLACE FUNCTION metering_hand_on(
    the_reference text, heir text, moment timestamptz
) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO metering_creditentry (pack_id, kind, delta, reference, created_at)
    SELECT open.pack_id, line.kind, line.sign * open.amount, line.reference, moment
    FROM (SELECT pack_id, -sum(delta) AS amount FROM metering_creditentry
          WHERE reference = the_reference AND kind IN ('spent', 'returned')
          GROUP BY pack_id HAVING sum(delta) < 0) AS open
    CROSS JOIN (VALUES ('returned', 1, the_reference), ('spent', -1, heir))
        AS line (kind, sign, reference)
$$;
"""

LEFT = """
CREATE OR REPLACE FUNCTION metering_credits_left(
    the_consumer bigint, the_meter bigint, moment timestamptz
) RETURNS numeric
LANGUAGE sql AS $$
    SELECT coalesce(sum(remaining), 0) FROM metering_creditpack
    WHERE consumer_id = the_consumer AND meter_id = the_meter
      AND remaining > 0 AND revoked_at IS NULL
      AND (expires_at IS NULL OR expires_at > moment)
$$;
"""

TAKE = """
-- Take `amount` from one consumer's quota of one meter; all of it or, if the limit is hard and it
-- does not fit, nothing. The plan's limit first, then credits, then (soft limits) overage.
--
-- as_reserved: keep it back instead of using it. Returns whether it was taken, what credits paid,
-- and the balance as it is then. The balance row is locked until the transaction ends, and the
-- packs after it: whoever takes from several balances does so in the order of consumer, meter.
CREATE OR REPLACE FUNCTION metering_take(
    the_project bigint, the_consumer bigint, the_meter bigint,
    starts timestamptz, ends timestamptz, the_limit numeric, hard boolean, warn_percent integer,
    amount numeric, as_reserved boolean, moment timestamptz, reference text,
    OUT taken boolean, OUT balance bigint, OUT paid numeric,
    OUT used numeric, OUT reserved numeric, OUT covered numeric, OUT credits numeric
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    missing numeric;
    part numeric;
    pack record;
    kept record;
    held record;
BEGIN
    INSERT INTO metering_quotabalance AS b (
        project_id, consumer_id, meter_id, period_start, period_end, "limit", enforcement,
        used, reserved, from_credits, next_warning, warn_due)
    VALUES (the_project, the_consumer, the_meter, starts, ends, the_limit,
            CASE WHEN hard THEN 'hard' ELSE 'soft' END,
            0, 0, 0, the_limit * warn_percent / 100, false)
    ON CONFLICT (consumer_id, meter_id, period_start) DO UPDATE SET
        -- Another limit has other thresholds: the job that warns finds out which are new.
        next_warning = CASE WHEN b."limit" IS DISTINCT FROM EXCLUDED."limit"
                            THEN EXCLUDED.next_warning ELSE b.next_warning END,
        "limit" = EXCLUDED."limit", enforcement = EXCLUDED.enforcement,
        period_end = EXCLUDED.period_end
    RETURNING b.id, b.used, b.reserved, b.from_credits INTO kept;
    balance := kept.id;
    paid := 0;
    missing := CASE WHEN the_limit IS NULL THEN 0 ELSE
        least(amount, amount - (the_limit - kept.used - kept.reserved + kept.from_credits)) END;

    IF missing > 0 THEN
        -- What was kept back for too long counts no more.
        FOR held IN
            UPDATE metering_reservation SET state = 'expired', ended_at = moment
            WHERE balance_id = kept.id AND state = 'held' AND expires_at <= moment
            RETURNING public_id, quantity, from_credits
        LOOP
            PERFORM metering_return(held.public_id, moment);
            kept.reserved := kept.reserved - held.quantity;
            kept.from_credits := kept.from_credits - held.from_credits;
        END LOOP;
        missing :=
            least(amount, amount - (the_limit - kept.used - kept.reserved + kept.from_credits));
    END IF;

    IF missing > 0 THEN
        PERFORM metering_lock_credits(the_consumer, the_meter);
    END IF;
    -- Credits that do not suffice stay as they are: a refusal writes nothing.
    IF missing > 0 AND NOT (
        hard AND metering_credits_left(the_consumer, the_meter, moment) < missing) THEN
        FOR pack IN
            SELECT id, remaining FROM metering_creditpack
            WHERE consumer_id = the_consumer AND meter_id = the_meter
              AND remaining > 0 AND revoked_at IS NULL
              AND (expires_at IS NULL OR expires_at > moment)
            ORDER BY priority, expires_at NULLS LAST, id
            FOR NO KEY UPDATE
        LOOP
            EXIT WHEN paid >= missing;
            part := least(pack.remaining, missing - paid);
            paid := paid + part;
            UPDATE metering_creditpack SET remaining = remaining - part WHERE id = pack.id;
            INSERT INTO metering_creditentry (pack_id, kind, delta, reference, created_at)
            VALUES (pack.id, 'spent', -part, reference, moment);
        END LOOP;
    END IF;

    taken := missing <= paid OR NOT hard;
    IF NOT taken THEN
        amount := 0;
    END IF;
    UPDATE metering_quotabalance AS b SET
        used = greatest(0, kept.used + CASE WHEN as_reserved THEN 0 ELSE amount END),
        reserved = kept.reserved + CASE WHEN as_reserved THEN amount ELSE 0 END,
        from_credits = kept.from_credits + paid,
        warn_due = warn_due OR coalesce(
            kept.used + CASE WHEN as_reserved THEN 0 ELSE amount END >= next_warning, false)
    WHERE b.id = kept.id
    RETURNING b.used, b.reserved, b.from_credits INTO used, reserved, covered;
    credits := metering_credits_left(the_consumer, the_meter, moment);
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [("metering", "0003_rollup")]

    operations = [migrations.RunSQL(LOCK + LEFT + RETURN + TAKE, migrations.RunSQL.noop)]
