"""Who holds answers in memory is told of every change, in the transaction that makes it.

A row of the log, which a reader's lease asks for, and a notification, which only comes sooner.
The log is not crash-safe on purpose: a crash ends every reader's connection, and with it
whatever it held.
"""

from django.db import migrations

LOG = """
CREATE UNLOGGED TABLE keystore_change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    -- Every transaction below it had ended when this row was written: what may be forgotten.
    horizon xid8 NOT NULL DEFAULT pg_snapshot_xmin(pg_current_snapshot()),
    tag text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- Read by every renewal of a lease: what was written since the last one.
CREATE INDEX keystore_change_by_xid ON keystore_change (xid);

-- `withdrawn`: access may have been taken away; the writer hears of it as SQLSTATE LK001 and
-- answers later. INFO, since no client_min_messages keeps that back.
CREATE FUNCTION keystore_tell_changes(tags text[], withdrawn boolean)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(cardinality(tags), 0) = 0 THEN
        RETURN;
    END IF;
    IF cardinality(tags) > 500 THEN
        tags := ARRAY['*'];
    END IF;
    INSERT INTO keystore_change (tag) SELECT unnest(tags);
    PERFORM pg_notify('latchkey_changes', tag) FROM unnest(tags) AS tag;
    IF withdrawn THEN
        RAISE INFO 'access may have been taken away' USING ERRCODE = 'LK001';
    END IF;
END $$;

-- For tables whose rows are known by id. Arguments: the kind, and a column that does not count.
CREATE FUNCTION keystore_tell_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keystore_tell_changes(array_agg(TG_ARGV[0] || was.id), true)
    FROM before AS was JOIN after AS became USING (id)
    WHERE to_jsonb(was) - TG_ARGV[1] IS DISTINCT FROM to_jsonb(became) - TG_ARGV[1];
    RETURN NULL;
END $$;

CREATE FUNCTION keystore_tell_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keystore_tell_changes(array_agg(TG_ARGV[0] || id), true) FROM before;
    RETURN NULL;
END $$;

CREATE FUNCTION keystore_tell_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keystore_tell_changes(ARRAY['*'], true);
    RETURN NULL;
END $$;

-- A consumer is known by the name under which its app asks.
CREATE FUNCTION keystore_tell_consumers_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keystore_tell_changes(array_agg(DISTINCT tag), bool_or(renamed))
    FROM before AS was
    JOIN after AS became USING (id),
    LATERAL (VALUES ('c' || was.project_id || '/' || was.external_id),
                    ('c' || became.project_id || '/' || became.external_id)) AS tags(tag),
    LATERAL (SELECT (was.project_id, was.external_id) IS DISTINCT FROM
                    (became.project_id, became.external_id)) AS moved(renamed)
    WHERE to_jsonb(was) IS DISTINCT FROM to_jsonb(became);
    RETURN NULL;
END $$;

CREATE FUNCTION keystore_tell_consumers_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keystore_tell_changes(array_agg('c' || project_id || '/' || external_id), true)
    FROM before;
    RETURN NULL;
END $$;
"""

UNLOG = """
DROP FUNCTION keystore_tell_consumers_deleted();
DROP FUNCTION keystore_tell_consumers_updated();
DROP FUNCTION keystore_tell_truncated();
DROP FUNCTION keystore_tell_deleted();
DROP FUNCTION keystore_tell_updated();
DROP FUNCTION keystore_tell_changes(text[], boolean);
DROP TABLE keystore_change;
"""

UPDATED = """
CREATE TRIGGER {table}_tells_updated AFTER UPDATE ON {table}
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION {updated};
CREATE TRIGGER {table}_tells_deleted AFTER DELETE ON {table}
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION {deleted};
CREATE TRIGGER {table}_tells_truncated AFTER TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION keystore_tell_truncated();
"""
SILENT = """
DROP TRIGGER {table}_tells_truncated ON {table};
DROP TRIGGER {table}_tells_deleted ON {table};
DROP TRIGGER {table}_tells_updated ON {table};
"""
# Of a key its last use, noted every few seconds, opens and closes nothing.
KNOWN_BY_ID = {
    "keystore_project": "'p', ''",
    "keystore_app": "'a', ''",
    "keystore_api": "'i', ''",
    "keystore_apikey": "'k', 'last_used_at'",
}


def told_of(table, updated, deleted):
    names = {"table": table, "updated": updated, "deleted": deleted}
    return migrations.RunSQL(UPDATED.format(**names), SILENT.format(table=table))


class Migration(migrations.Migration):
    dependencies = [("keystore", "0005_keys_complete")]
    operations = [
        migrations.RunSQL(LOG, UNLOG),
        *(
            told_of(table, f"keystore_tell_updated({kind})", f"keystore_tell_deleted({kind})")
            for table, kind in KNOWN_BY_ID.items()
        ),
        told_of(
            "keystore_consumer",
            "keystore_tell_consumers_updated()",
            "keystore_tell_consumers_deleted()",
        ),
    ]
