"""Many events in a few statements, whatever the number of consumers and meters.

A later change of the function is a new migration with CREATE OR REPLACE.
"""

from django.db import migrations

RECORD = """
-- Record up to 1,000 events, no two of one name. Returns those that were not simply accepted under
-- the id that they came with: place, outcome (as of metering_consume), event.
--
-- told: n place, i id, s source, e event id, f fingerprint (hex), c consumer, m meter, a api,
-- k key, q quantity, v value, o occurred, t counts, p properties, g group.
-- groups: what shares a balance: g, c consumer, m meter, k kind, b start, d end, l limit, h hard,
-- w percent of the limit at which somebody is warned.
--
-- Locks are taken in one order by all: names by source and id, then balances by consumer, meter and
-- period. A group whose sum fits within its limit is taken at once; the others event by event.
CREATE FUNCTION metering_record(
    the_project bigint, received timestamptz, told jsonb, groups jsonb
) RETURNS TABLE (place integer, outcome text, event uuid) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    fresh uuid[];
    all_fresh boolean;
    fitting integer[] := '{}';
    one record;
    taken record;
BEGIN
    WITH named AS (
        INSERT INTO metering_usagekey (
            project_id, source, event_id, fingerprint, event, received_at)
        SELECT the_project, coalesce(t.s, ''), t.e, decode(t.f, 'hex'), t.i, received
        FROM jsonb_to_recordset(told) AS t(s text, e text, f text, i uuid)
        ORDER BY coalesce(t.s, '') COLLATE "C", t.e COLLATE "C"
        ON CONFLICT (project_id, source, event_id) DO NOTHING
        RETURNING event
    ) SELECT coalesce(array_agg(named.event), '{}') INTO fresh FROM named;

    -- Looking each row up in the list costs more than the row: only done when some were known.
    all_fresh := cardinality(fresh) = jsonb_array_length(told);
    IF NOT all_fresh THEN
        RETURN QUERY
        SELECT t.n,
               CASE WHEN k.fingerprint = decode(t.f, 'hex') THEN 'duplicate' ELSE 'conflict' END,
               k.event
        FROM jsonb_to_recordset(told) AS t(n integer, s text, e text, f text, i uuid)
        JOIN metering_usagekey AS k
          ON k.project_id = the_project AND k.source = coalesce(t.s, '') AND k.event_id = t.e
        WHERE k.event <> t.i;
    END IF;

    -- What is surely taken event by event locks its balance out of turn: then hold all of them first.
    IF EXISTS (
        SELECT FROM jsonb_to_recordset(told) AS t(q numeric, g integer)
        JOIN jsonb_to_recordset(groups) AS g(g integer, k text, l numeric) ON g.g = t.g
        GROUP BY g.g, g.k, g.l
        HAVING g.k NOT IN ('sum', 'count')
            OR CASE WHEN g.k = 'count' THEN count(*) ELSE sum(t.q) END > g.l
    ) THEN
        INSERT INTO metering_quotabalance (
            project_id, consumer_id, meter_id, period_start, period_end, "limit", enforcement,
            used, reserved, from_credits, next_warning, warn_due)
        SELECT the_project, g.c, g.m, g.b, g.d, g.l, CASE WHEN g.h THEN 'hard' ELSE 'soft' END,
               0, 0, 0, g.l * g.w / 100, false
        FROM jsonb_to_recordset(groups) AS g(
            c bigint, m bigint, b timestamptz, d timestamptz, l numeric, h boolean, w integer)
        ORDER BY g.c, g.m, g.b
        ON CONFLICT (consumer_id, meter_id, period_start) DO UPDATE
            SET period_end = EXCLUDED.period_end WHERE false;  -- locked, and left as it is
    END IF;

    IF jsonb_array_length(groups) > 0 THEN
        WITH asked AS (
            SELECT t.g, g.c, g.m, g.k, g.b, g.d, g.l, g.h, g.w,
                   CASE WHEN g.k = 'count' THEN count(*) ELSE sum(t.q) END AS amount
            FROM jsonb_to_recordset(told) AS t(i uuid, q numeric, g integer)
            JOIN jsonb_to_recordset(groups) AS g(
                g integer, c bigint, m bigint, k text, b timestamptz, d timestamptz, l numeric,
                h boolean, w integer) ON g.g = t.g
            WHERE (all_fresh OR t.i = ANY (fresh)) AND g.k IN ('sum', 'count')
            GROUP BY t.g, g.c, g.m, g.k, g.b, g.d, g.l, g.h, g.w
        ), held AS (
            INSERT INTO metering_quotabalance AS b (
                project_id, consumer_id, meter_id, period_start, period_end, "limit", enforcement,
                used, reserved, from_credits, next_warning, warn_due)
            SELECT the_project, c, m, b, d, l, CASE WHEN h THEN 'hard' ELSE 'soft' END,
                   amount, 0, 0, l * w / 100, coalesce(amount >= l * w / 100, false)
            FROM asked WHERE l IS NULL OR amount <= l
            ORDER BY c, m, b
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
               OR b.used + b.reserved - b.from_credits + EXCLUDED.used <= EXCLUDED."limit"
            RETURNING consumer_id, meter_id, period_start
        )
        SELECT coalesce(array_agg(asked.g), '{}') INTO fitting FROM asked
        JOIN held ON held.consumer_id = asked.c AND held.meter_id = asked.m
                 AND held.period_start = asked.b;
    END IF;

    INSERT INTO metering_usageevent (
        id, project_id, consumer_id, meter_id, api_id, key_id, source, event_id, quantity,
        unique_value, occurred_at, counts_at, received_at, properties, from_credits)
    SELECT t.i, the_project, t.c, t.m, t.a, t.k, coalesce(t.s, ''), t.e, t.q, coalesce(t.v, ''),
           coalesce(t.o, received), coalesce(t.t, t.o, received), received,
           coalesce(t.p, '{}'), 0
    FROM jsonb_to_recordset(told) AS t(
        i uuid, s text, e text, c bigint, m bigint, a bigint, k bigint, q numeric, v text,
        o timestamptz, t timestamptz, p jsonb, g integer)
    WHERE (all_fresh OR t.i = ANY (fresh)) AND (t.g IS NULL OR t.g = ANY (fitting));

    IF cardinality(fitting) = jsonb_array_length(groups) THEN
        RETURN;
    END IF;
    FOR one IN
        SELECT t.*, g.k AS kind, g.b, g.d, g.l, g.h, g.w
        FROM jsonb_to_recordset(told) AS t(
            n integer, i uuid, s text, e text, f text, c bigint, m bigint, a bigint, k bigint,
            q numeric, v text, o timestamptz, t timestamptz, p jsonb, g integer)
        JOIN jsonb_to_recordset(groups) AS g(
            g integer, k text, b timestamptz, d timestamptz, l numeric, h boolean, w integer)
          ON g.g = t.g
        WHERE (all_fresh OR t.i = ANY (fresh)) AND NOT t.g = ANY (fitting)
        ORDER BY t.n
    LOOP
        DELETE FROM metering_usagekey AS k WHERE k.project_id = the_project
            AND k.source = coalesce(one.s, '') AND k.event_id = one.e;
        SELECT * INTO taken FROM metering_consume(
            the_project, one.c, one.m, one.a, one.k, coalesce(one.s, ''), one.e,
            decode(one.f, 'hex'), one.q, coalesce(one.v, ''), coalesce(one.o, received),
            coalesce(one.t, one.o, received), received, coalesce(one.p, '{}'), one.kind,
            true, one.b, one.d, one.l, one.h, one.w);
        place := one.n;
        outcome := taken.outcome;
        event := taken.event;
        RETURN NEXT;
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [("metering", "0004_credits_in_order")]

    operations = [migrations.RunSQL(RECORD, "DROP FUNCTION metering_record")]
