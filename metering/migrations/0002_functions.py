"""The statements that take from quotas, in the database: one call, one transaction, no race.

A later change of a function is a new migration with CREATE OR REPLACE.
"""

from django.db import migrations

UUIDS = """
-- A UUID version 7: sorts by the instant it was made of.
CREATE FUNCTION metering_uuid(made_at timestamptz) RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                    PLACING substring(int8send(floor(extract(epoch FROM made_at) * 1000)::bigint)
                                      FROM 3)
                    FROM 1 FOR 6),
            52, 1), 53, 1),
        'hex')::uuid
$$;

-- The smallest of them: where a partition starts.
CREATE FUNCTION metering_first_uuid(made_at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM made_at) * 1000)::bigint), 12, '0')
            || '70008000000000000000')::uuid
$$;
"""

PARTITIONS = """
-- The partition of the month that holds `moment`; true if it was made now.
CREATE FUNCTION metering_make_partition(moment timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    starts timestamptz := date_trunc('month', moment, 'UTC');
    ends timestamptz := date_trunc('month', moment, 'UTC') + interval '1 month';
    name text := 'metering_usageevent_' || to_char(starts AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    ends := (date_trunc('month', moment AT TIME ZONE 'UTC') + interval '1 month')
            AT TIME ZONE 'UTC';
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    LOCK TABLE metering_usageevent_other IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE %I (LIKE metering_usageevent INCLUDING ALL)', name);
    EXECUTE format(
        'WITH moved AS (DELETE FROM metering_usageevent_other WHERE id >= %L AND id < %L'
        ' RETURNING *) INSERT INTO %I SELECT * FROM moved',
        metering_first_uuid(starts), metering_first_uuid(ends), name);
    EXECUTE format(
        'ALTER TABLE metering_usageevent ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        name, metering_first_uuid(starts), metering_first_uuid(ends));
    RETURN true;
EXCEPTION WHEN duplicate_table THEN
    RETURN false;  -- another process was first
END $$;
"""

TAKE = """
-- Take `amount` from one consumer's quota of one meter; all of it or, if the limit is hard and it
-- does not fit, nothing. The plan's limit first, then credits, then (soft limits) overage.
--
-- as_reserved: keep it back instead of using it. Returns whether it was taken, what credits paid,
-- and the balance as it is then. The balance row is locked until the transaction ends, and the
-- packs after it: whoever takes from several balances does so in the order of consumer, meter.
CREATE FUNCTION metering_take(
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
    IF NOT taken AND paid > 0 THEN
        PERFORM metering_return(reference, moment);
        paid := 0;
    END IF;
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
    SELECT coalesce(sum(p.remaining), 0) INTO credits FROM metering_creditpack AS p
    WHERE p.consumer_id = the_consumer AND p.meter_id = the_meter
      AND p.remaining > 0 AND p.revoked_at IS NULL
      AND (p.expires_at IS NULL OR p.expires_at > moment);
END $$;

-- Give back to their packs what `the_reference` spent of them, as far as it was not yet given back.
CREATE FUNCTION metering_return(the_reference text, moment timestamptz) RETURNS numeric
LANGUAGE plpgsql AS $$
DECLARE
    spent record;
    total numeric := 0;
BEGIN
    FOR spent IN
        SELECT pack_id, -sum(delta) AS open FROM metering_creditentry
        WHERE reference = the_reference AND kind IN ('spent', 'returned')
        GROUP BY pack_id HAVING sum(delta) < 0 ORDER BY pack_id
    LOOP
        UPDATE metering_creditpack SET remaining = remaining + spent.open WHERE id = spent.pack_id;
        INSERT INTO metering_creditentry (pack_id, kind, delta, reference, created_at)
        VALUES (spent.pack_id, 'returned', spent.open, the_reference, moment);
        total := total + spent.open;
    END LOOP;
    RETURN total;
END $$;
"""

CONSUME = """
-- Record one event: its name, the quota that it takes, its row. Refused and repeated ones leave
-- nothing behind.
--
-- outcome: accepted, duplicate (the same event again), conflict (its name was used for another),
-- refused (a hard limit). counted: false for a meter without a limit, or for an unlimited one.
CREATE FUNCTION metering_consume(
    the_project bigint, the_consumer bigint, the_meter bigint, the_api bigint, the_key bigint,
    the_source text, the_event_id text, the_fingerprint bytea,
    the_quantity numeric, the_value text, occurred timestamptz, counts timestamptz,
    received timestamptz, the_properties jsonb, aggregation text,
    counted boolean, starts timestamptz, ends timestamptz, the_limit numeric, hard boolean,
    warn_percent integer,
    OUT outcome text, OUT event uuid, OUT used numeric, OUT reserved numeric,
    OUT covered numeric, OUT credits numeric
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    named record;
    amount numeric := the_quantity;
    result record;
    known record;
    is_newest boolean := true;
    paid numeric := 0;
BEGIN
    event := metering_uuid(received);
    INSERT INTO metering_usagekey (project_id, source, event_id, fingerprint, event, received_at)
    VALUES (the_project, the_source, the_event_id, the_fingerprint, event, received)
    ON CONFLICT (project_id, source, event_id) DO NOTHING;
    IF NOT FOUND THEN
        SELECT k.fingerprint, k.event INTO named FROM metering_usagekey AS k
        WHERE k.project_id = the_project AND k.source = the_source AND k.event_id = the_event_id;
        event := named.event;
        outcome := CASE WHEN named.fingerprint = the_fingerprint
                        THEN 'duplicate' ELSE 'conflict' END;
        RETURN;
    END IF;
    outcome := 'accepted';

    IF counted THEN
        IF aggregation IN ('max', 'latest', 'unique') THEN
            -- What these take depends on the balance: hold it before looking.
            SELECT t.balance INTO known FROM metering_take(
                the_project, the_consumer, the_meter, starts, ends, the_limit, hard, warn_percent,
                0, false, received, '') AS t;
            SELECT b.id, b.used, b.latest_at INTO known FROM metering_quotabalance AS b
            WHERE b.id = known.balance;
        END IF;
        IF aggregation = 'count' THEN
            amount := 1;
        ELSIF aggregation = 'max' THEN
            amount := greatest(0, the_quantity - known.used);
        ELSIF aggregation = 'latest' THEN
            is_newest := known.latest_at IS NULL OR known.latest_at <= counts;
            amount := CASE WHEN is_newest THEN the_quantity - known.used ELSE 0 END;
        ELSIF aggregation = 'unique' THEN
            INSERT INTO metering_quotaunique (balance_id, value) VALUES (known.id, the_value)
            ON CONFLICT (balance_id, value) DO NOTHING;
            amount := CASE WHEN FOUND THEN 1 ELSE 0 END;
        END IF;
        SELECT * INTO result FROM metering_take(
            the_project, the_consumer, the_meter, starts, ends, the_limit, hard, warn_percent,
            amount, false, received, event::text);
        paid := result.paid;
        used := result.used;
        reserved := result.reserved;
        covered := result.covered;
        credits := result.credits;
        IF NOT result.taken THEN
            DELETE FROM metering_usagekey AS k WHERE k.project_id = the_project
                AND k.source = the_source AND k.event_id = the_event_id;
            IF aggregation = 'unique' AND amount = 1 THEN
                DELETE FROM metering_quotaunique AS u
                WHERE u.balance_id = known.id AND u.value = the_value;
            END IF;
            outcome := 'refused';
            event := NULL;
            RETURN;
        END IF;
        IF aggregation = 'latest' AND is_newest THEN
            UPDATE metering_quotabalance AS b SET latest_at = counts WHERE b.id = known.id;
        END IF;
    END IF;

    INSERT INTO metering_usageevent (
        id, project_id, consumer_id, meter_id, api_id, key_id, source, event_id, quantity,
        unique_value, occurred_at, counts_at, received_at, properties, from_credits)
    VALUES (event, the_project, the_consumer, the_meter, the_api, the_key, the_source,
            the_event_id, the_quantity, the_value, occurred, counts, received, the_properties,
            paid);
END $$;
"""

MAKE_NOW = """
SELECT metering_make_partition(now() + make_interval(months => month))
FROM generate_series(0, 3) AS month;
INSERT INTO metering_watermark (name, xid) VALUES ('rollup', pg_current_xact_id());
"""

DROP = """
DROP FUNCTION metering_consume;
DROP FUNCTION metering_return;
DROP FUNCTION metering_take;
DROP FUNCTION metering_make_partition;
DROP FUNCTION metering_first_uuid;
DROP FUNCTION metering_uuid;
DELETE FROM metering_watermark;
"""


class Migration(migrations.Migration):

    dependencies = [("metering", "0001_initial")]

    operations = [
        migrations.RunSQL(UUIDS + PARTITIONS + TAKE + CONSUME, DROP),
        migrations.RunSQL(MAKE_NOW, migrations.RunSQL.noop),
    ]
