"""Usage events by the million, with their names and totals, made by SQL."""

from bench.data import METER, SLUG
from bench.places import say

EVENT_USERS = 1_000  # who used what fills the table
AT_ONCE = 500_000

FILL_KEYS = """
INSERT INTO metering_usagekey
    (project_id, source, event_id, fingerprint, event, received_at)
SELECT project_id, source, event_id, '\\x00112233445566778899aabbccddeeff', id, received_at
FROM metering_usageevent WHERE event_id LIKE 'fill-%%' ORDER BY id
"""
FILL_EVENTS = """
INSERT INTO metering_usageevent (id, project_id, consumer_id, meter_id, source, event_id, quantity,
    unique_value, occurred_at, counts_at, received_at, properties, voids, from_credits)
SELECT metering_uuid(at), m.project_id, users.ids[n %% array_length(users.ids, 1) + 1], m.id, '',
    'fill-' || lpad(n::text, 12, '0'), 1, '', at, at, at, '{"model": "m-1"}', false, 0
FROM metering_meter AS m,
    (SELECT array_agg(id) AS ids FROM (SELECT c.id FROM keystore_consumer AS c
        JOIN keystore_project AS p ON p.id = c.project_id WHERE p.slug = %(slug)s
        ORDER BY c.id LIMIT %(users)s) AS those) AS users,
    generate_series(%(first)s::bigint, %(last)s::bigint) AS n,
    LATERAL (SELECT date_trunc('month', now()) + n * interval '0.1 second') AS made (at)
WHERE m.project_id = (SELECT id FROM keystore_project WHERE slug = %(slug)s) AND m.code = %(meter)s
"""


def fill_events(count: int) -> None:
    """So many events of this month and their names, all in the totals."""
    from django.db import connection

    from config.clock import now
    from metering.rollup import count_new

    with connection.cursor() as cursor:
        cursor.execute("SELECT metering_make_partition(now())")
        # What they refer to is there; looking each of it up would take most of the time.
        cursor.execute("SET session_replication_role = replica")
        for first in range(0, count, AT_ONCE):
            write(cursor, first, min(first + AT_ONCE, count))
            say(f"  {min(first + AT_ONCE, count):,} events")
        cursor.execute(FILL_KEYS)
        say("  their names")
        cursor.execute("SET session_replication_role = DEFAULT")
        count_new(at=now(), at_once=count + 1)
        say("  their totals")
        for table in ("metering_usageevent", "metering_usagekey", "metering_usagetotal"):
            cursor.execute(f"VACUUM ANALYZE {table}")


def write(cursor, first: int, end: int) -> None:  # type: ignore[no-untyped-def]
    """Events number `first` to `end` - 1, a tenth of a second apart."""
    terms = {"slug": SLUG, "users": EVENT_USERS, "meter": METER}
    cursor.execute(FILL_EVENTS, {**terms, "first": first, "last": end - 1})


def stored() -> int:
    """How many events are in the table."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM metering_usageevent")
        return int(cursor.fetchone()[0])
