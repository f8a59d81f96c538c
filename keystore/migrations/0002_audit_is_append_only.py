"""The database itself refuses to change or delete what was audited."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION keystore_refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit entries are never changed or deleted'
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER keystore_audit_is_append_only
    BEFORE UPDATE OR DELETE ON keystore_auditentry
    FOR EACH ROW EXECUTE FUNCTION keystore_refuse_audit_change();
"""

ALLOW = """
DROP TRIGGER keystore_audit_is_append_only ON keystore_auditentry;
DROP FUNCTION keystore_refuse_audit_change();
"""


class Migration(migrations.Migration):
    dependencies = [("keystore", "0001_initial")]
    operations = [migrations.RunSQL(REFUSE, ALLOW)]
