"""The audit trail takes one kind of change: the names of a person who is erased go out of it."""

from django.db import migrations, models

REFUSE = """
-- Only in a transaction that says that it erases, and only what was written in free words: who
-- did what to what and when is compared, and stays.
CREATE OR REPLACE FUNCTION keystore_refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('latchkey.erasing', true) = 'on'
       AND to_jsonb(OLD) - ARRAY['before', 'after', 'reason']
         = to_jsonb(NEW) - ARRAY['before', 'after', 'reason'] THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit entries are never changed or deleted'
        USING ERRCODE = 'restrict_violation';
END $$;
"""
AS_BEFORE = """
CREATE OR REPLACE FUNCTION keystore_refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit entries are never changed or deleted'
        USING ERRCODE = 'restrict_violation';
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("keystore", "0012_identity")]
    operations = [
        migrations.AddIndex(
            model_name="consumer",
            index=models.Index(
                condition=models.Q(("erased_at__isnull", False)),
                fields=["erased_at"],
                name="consumer_erased",
            ),
        ),
        migrations.RunSQL(REFUSE, AS_BEFORE),
    ]
