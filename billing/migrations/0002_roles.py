"""The roles of the people who work in the admin. What they may do more is added by hand."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

APPS = ("keystore", "entitlements", "billing")

READ = [
    *(
        f"keystore.view_{model}"
        for model in ("api", "apikey", "app", "auditentry", "consumer", "project")
    ),
    *(f"entitlements.view_{model}" for model in ("feature", "grant", "plan", "planfeature")),
    *(
        f"billing.view_{model}"
        for model in (
            "billingpolicy",
            "checkout",
            "inboxevent",
            "invoice",
            "operation",
            "payment",
            "price",
            "purchase",
            "refund",
            "stripecustomer",
            "subscription",
        )
    ),
]
# Who serves customers sees who they are, and may look again at Stripe.
SERVE = [
    *READ,
    "keystore.view_personal_data",
    "billing.sync_stripecustomer",
    "billing.view_mirror",
]
HELP = [
    *SERVE,
    "entitlements.give_grant",
    "entitlements.revoke_grant",
    "keystore.revoke_apikey",
    "billing.replay_inboxevent",
]
SHAPE = [
    *(
        f"{app}.{act}_{model}"
        for app, model in (
            ("keystore", "api"),
            ("keystore", "app"),
            ("keystore", "project"),
            ("entitlements", "feature"),
            ("entitlements", "plan"),
            ("entitlements", "planfeature"),
            ("billing", "billingpolicy"),
        )
        for act in ("add", "change")
    ),
    "entitlements.delete_planfeature",
]
ROLES = {
    "Read-only": READ,
    "Support": HELP,
    "Finance": [*SERVE, "billing.refund_payment"],
    "Operator": [*HELP, *SHAPE, "entitlements.give_endless_grant", "keystore.issue_apikey"],
}


def make_roles(apps, schema_editor):
    using = schema_editor.connection.alias
    for label in APPS:
        # Django makes permissions after the last migration; the roles need them now.
        app = apps.get_app_config(label)
        app.models_module = True
        create_permissions(app, verbosity=0, using=using, apps=apps)
        app.models_module = None
    found = {
        f"{label}.{codename}": pk
        for pk, label, codename in apps.get_model("auth", "Permission")
        .objects.using(using)
        .filter(content_type__app_label__in=APPS)
        .values_list("pk", "content_type__app_label", "codename")
    }
    for name, permissions in ROLES.items():
        group, _ = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=name)
        group.permissions.add(*(found[permission] for permission in permissions))


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0001_initial"),
        ("entitlements", "0001_initial"),
        ("keystore", "0002_audit_is_append_only"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    # Taking the roles away again would take them from the people who hold them.
    operations = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
