"""Events of one name within one request, told apart by one statement.

A later change of a function is a new migration with CREATE OR REPLACE.
"""

from django.db import migrations

IN_TURN = """
-- Record events whose names repeat, one after the other: of one name the first that is taken counts.
-- told and groups as of metering_record. Returns what became of each.
--
-- Locks are taken in the same order as there: names, then balances.
CREATE FUNCTION metering_record_in_turn(
    the_project bigint, received timestamptz, told jsonb, groups jsonb
) RETURNS TABLE (place integer, outcome text, event uuid) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    holding uuid[];
    one record;
    taken record;
BEGIN
    WITH named AS (
        INSERT INTO metering_usagekey (
            project_id, source, event_id, fingerprint, event, received_at)
        SELECT DISTINCT ON (coalesce(t.s, '') COLLATE "C", t.e COLLATE "C")
               the_project, coalesce(t.s, ''), t.e, decode(t.f, 'hex'), t.i, received
        FROM jsonb_to_recordset(told) AS t(n integer, s text, e text, f text, i uuid)
        ORDER BY coalesce(t.s, '') COLLATE "C", t.e COLLATE "C", t.n
        ON CONFLICT (project_id, source, event_id) DO NOTHING
        RETURNING event
    ) SELECT coalesce(array_agg(named.event), '{}') INTO holding FROM named;

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

    -- The names were only held: each event takes its own.
    DELETE FROM metering_usagekey AS k
    USING jsonb_to_recordset(told) AS t(s text, e text, i uuid)
    WHERE k.project_id = the_project AND k.source = coalesce(t.s, '') AND k.event_id = t.e
      AND k.event = t.i AND t.i = ANY (holding);

    FOR one IN
        SELECT t.*, g.k AS kind, g.b, g.d, g.l, g.h, g.w
        FROM jsonb_to_recordset(told) AS t(
            n integer, s text, e text, f text, c bigint, m bigint, a bigint, k bigint,
            q numeric, v text, o timestamptz, t timestamptz, p jsonb, g integer)
        LEFT JOIN jsonb_to_recordset(groups) AS g(
            g integer, k text, b timestamptz, d timestamptz, l numeric, h boolean, w integer)
          ON g.g = t.g
        ORDER BY t.n
    LOOP
        SELECT * INTO taken FROM metering_consume(
            the_project, one.c, one.m, one.a, one.k, coalesce(one.s, ''), one.e,
            decode(one.f, 'hex'), one.q, coalesce(one.v, ''), coalesce(one.o, received),
            coalesce(one.t, one.o, received), received, coalesce(one.p, '{}'), one.kind,
            one.g IS NOT NULL, one.b, one.d, one.l, one.h, one.w);
        place := one.n;
        outcome := taken.outcome;
        event := taken.event;
        RETURN NEXT;
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [("metering", "0007_room_for_the_largest")]

    operations = [
        migrations.RunSQL(IN_TURN, "DROP FUNCTION metering_record_in_turn"),
    ]
