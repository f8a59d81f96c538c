"""One event by itself, in as few steps as it can be done in.

A later change of the function is a new migration with CREATE OR REPLACE.
"""

from django.db import migrations

RECORD_ONE = """
-- What metering_record does for one event, with the same outcomes. `kind` NULL: no limit is counted.
-- Locks: its name, then its balance.
CREATE FUNCTION metering_record_one(
    the_project bigint, the_consumer bigint, the_meter bigint,
    the_id uuid, the_source text, the_event_id text, the_fingerprint bytea,
    the_quantity numeric, the_value text, occurred timestamptz, counts timestamptz,
    received timestamptz, the_properties jsonb,
    kind text, starts timestamptz, ends timestamptz, the_limit numeric, hard boolean,
    warn_percent integer,
    OUT outcome text, OUT event uuid
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    amount numeric := CASE WHEN kind = 'count' THEN 1 ELSE the_quantity END;
    is_taken boolean := kind IS NULL;
BEGIN
    INSERT INTO metering_usagekey (project_id, source, event_id, fingerprint, event, received_at)
    VALUES (the_project, the_source, the_event_id, the_fingerprint, the_id, received)
    ON CONFLICT (project_id, source, event_id) DO NOTHING;
    IF NOT FOUND THEN
        SELECT k.event,
               CASE WHEN k.fingerprint = the_fingerprint THEN 'duplicate' ELSE 'conflict' END
        INTO event, outcome FROM metering_usagekey AS k
        WHERE k.project_id = the_project AND k.source = the_source AND k.event_id = the_event_id;
        RETURN;
    END IF;

    -- An amount that surely fits; whatever needs a closer look is looked at below.
    IF kind IN ('sum', 'count') AND (the_limit IS NULL OR amount <= the_limit) THEN
        INSERT INTO metering_quotabalance AS b (
            project_id, consumer_id, meter_id, period_start, period_end, "limit", enforcement,
            used, reserved, from_credits, next_warning, warn_due)
        VALUES (the_project, the_consumer, the_meter, starts, ends, the_limit,
                CASE WHEN hard THEN 'hard' ELSE 'soft' END,
                amount, 0, 0, the_limit * warn_percent / 100,
                coalesce(amount >= the_limit * warn_percent / 100, false))
        ON CONFLICT (consumer_id, meter_id, period_start) DO UPDATE SET
            used = b.used + EXCLUDED.used,
            "limit" = EXCLUDED."limit", enforcement = EXCLUDED.enforcement,
            period_end = EXCLUDED.period_end,
            next_warning = CASE WHEN b."limit" IS DISTINCT FROM EXCLUDED."limit"
                                THEN EXCLUDED.next_warning ELSE b.next_warning END,
            warn_due = b.warn_due OR coalesce(
                b.used + EXCLUDED.used >=
                CASE WHEN b."limit" IS DISTINCT FROM EXCLUDED."limit"
                     THEN EXCLUDED.next_warning ELSE b.next_warning END, false)
        WHERE EXCLUDED."limit" IS NULL
           OR b.used + b.reserved - b.from_credits + EXCLUDED.used <= EXCLUDED."limit";
        is_taken := FOUND;
    END IF;

    IF NOT is_taken THEN
        DELETE FROM metering_usagekey AS k WHERE k.project_id = the_project
            AND k.source = the_source AND k.event_id = the_event_id;
        SELECT c.outcome, c.event INTO outcome, event FROM metering_consume(
            the_project, the_consumer, the_meter, NULL, NULL, the_source, the_event_id,
            the_fingerprint, the_quantity, the_value, occurred, counts, received, the_properties,
            kind, true, starts, ends, the_limit, hard, warn_percent) AS c;
        RETURN;
    END IF;
    INSERT INTO metering_usageevent (
        id, project_id, consumer_id, meter_id, api_id, key_id, source, event_id, quantity,
        unique_value, occurred_at, counts_at, received_at, properties, from_credits)
    VALUES (the_id, the_project, the_consumer, the_meter, NULL, NULL, the_source, the_event_id,
            the_quantity, the_value, occurred, counts, received, the_properties, 0);
    outcome := 'accepted';
    event := the_id;
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [("metering", "0008_names_in_turn")]

    operations = [migrations.RunSQL(RECORD_ONE, "DROP FUNCTION metering_record_one")]
