"""Who credits, collects and writes invoices, and what earlier credit notes took from theirs."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

LOOK = ["view_custominvoice"]
COLLECT = [*LOOK, "collect_invoice"]
WRITE = [
    *COLLECT,
    "close_invoice",
    "issue_creditnote",
    "add_custominvoice",
    "change_custominvoice",
    "send_custominvoice",
]
ROLES = {"Read-only": LOOK, "Support": COLLECT, "Finance": WRITE, "Operator": WRITE}
COUNT = """
UPDATE billing_invoice SET credited_minor = LEAST(taken.amount, total_minor)
FROM (
    SELECT invoice_id, SUM(amount_minor) AS amount FROM billing_creditnote
    WHERE status = 'issued' GROUP BY invoice_id
) AS taken
WHERE taken.invoice_id = billing_invoice.id AND total_minor > 0
"""


def extend_roles(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after the last migration; the roles need them now.
    app = apps.get_app_config("billing")
    app.models_module = True
    create_permissions(app, verbosity=0, using=using, apps=apps)
    app.models_module = None
    rows = apps.get_model("auth", "Permission").objects.using(using)
    found = dict(
        rows.filter(content_type__app_label="billing", codename__in=WRITE).values_list(
            "codename", "pk"
        )
    )
    groups = apps.get_model("auth", "Group").objects.using(using)
    for name, permissions in ROLES.items():
        group, _ = groups.get_or_create(name=name)
        group.permissions.add(*(found[permission] for permission in permissions))
    # Nobody holds it: its budgets are what the project's apps may send back per month.
    groups.get_or_create(name="Apps")


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0023_credit_notes_and_taxes"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    # Taking permissions away again would take them from the people who hold them.
    operations = [
        migrations.RunPython(extend_roles, migrations.RunPython.noop),
        migrations.RunSQL(COUNT, migrations.RunSQL.noop),
    ]
