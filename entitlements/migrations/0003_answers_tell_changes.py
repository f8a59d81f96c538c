"""Who holds a ready answer in memory is told when it changes, in the transaction that does it."""

from django.db import migrations

TELL = """
-- Access was taken away unless all that was open before still is, in the same words. Whether it
-- was is not looked at when very many answers change together.
CREATE FUNCTION entitlements_tell_answers_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keystore_tell_changes(
        array_agg('c' || consumer.project_id || '/' || consumer.external_id),
        CASE
            WHEN count(*) > 500 THEN true
            ELSE NOT bool_and(
                CASE
                    WHEN was.body IS JSON AND became.body IS JSON THEN coalesce(
                        became.body::jsonb -> 'entitlements' @> (was.body::jsonb -> 'entitlements'),
                        false
                    )
                    ELSE false
                END
            )
        END
    )
    FROM before AS was
    JOIN after AS became USING (id)
    JOIN keystore_consumer AS consumer ON consumer.id = was.consumer_id
    WHERE (was.body, was.etag, was.changes_at) IS DISTINCT FROM
          (became.body, became.etag, became.changes_at);
    RETURN NULL;
END $$;

CREATE FUNCTION entitlements_tell_answers_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keystore_tell_changes(
        array_agg('c' || consumer.project_id || '/' || consumer.external_id), true
    )
    FROM before AS was
    JOIN keystore_consumer AS consumer ON consumer.id = was.consumer_id;
    RETURN NULL;
END $$;

CREATE TRIGGER entitlements_answer_tells_updated AFTER UPDATE ON entitlements_answer
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION entitlements_tell_answers_updated();
CREATE TRIGGER entitlements_answer_tells_deleted AFTER DELETE ON entitlements_answer
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION entitlements_tell_answers_deleted();
CREATE TRIGGER entitlements_answer_tells_truncated AFTER TRUNCATE ON entitlements_answer
    FOR EACH STATEMENT EXECUTE FUNCTION keystore_tell_truncated();
"""

SILENT = """
DROP TRIGGER entitlements_answer_tells_truncated ON entitlements_answer;
DROP TRIGGER entitlements_answer_tells_deleted ON entitlements_answer;
DROP TRIGGER entitlements_answer_tells_updated ON entitlements_answer;
DROP FUNCTION entitlements_tell_answers_deleted();
DROP FUNCTION entitlements_tell_answers_updated();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("entitlements", "0002_managed_grants"),
        ("keystore", "0006_change_log"),
    ]
    operations = [migrations.RunSQL(TELL, SILENT)]
