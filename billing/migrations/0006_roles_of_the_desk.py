"""What the roles may do of what the support desk added. What they may do more is added by hand."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

APPS = ("keystore", "entitlements", "billing", "axes")

READ = [
    *(
        f"keystore.view_{model}"
        for model in ("consumernote", "hookendpoint", "outboxmessage", "hookdelivery", "jobrun")
    ),
    *(f"entitlements.view_{model}" for model in ("grantbatch", "grantbatchline")),
    *(
        f"billing.view_{model}"
        for model in (
            "creditnote",
            "dispute",
            "drift",
            "eventsweep",
            "invariantcheck",
            "reconciliationrun",
            "refundbudget",
            "refundlimit",
            "refundrequest",
            "replayrun",
        )
    ),
]
SERVE = [
    *READ,
    "keystore.add_consumernote",
    "keystore.tag_consumer",
    "keystore.see_as_consumer",
    "billing.change_plan_subscription",
    "billing.refund_payment",
]
HELP = [
    *SERVE,
    "keystore.add_consumer",
    "keystore.rotate_apikey",
    "keystore.disable_apikey",
    "entitlements.renew_grant",
    "billing.repair_drift",
]
COUNT = [
    *SERVE,
    "keystore.export_auditentry",
    "billing.approve_refund",
    "billing.start_reconciliationrun",
    "billing.repair_drift",
    *(f"billing.{act}_{model}" for act in ("add", "change")
      for model in ("refundbudget", "refundlimit")),
]
RUN = [
    *HELP,
    "keystore.add_hookendpoint",
    "keystore.change_hookendpoint",
    "keystore.roll_hookendpoint",
    "keystore.redeliver_hookdelivery",
    "keystore.export_auditentry",
    "keystore.view_authenticator",
    "keystore.reset_authenticator",
    "keystore.unlock_login",
    *(f"axes.view_{model}" for model in ("accessattempt", "accessfailurelog", "accesslog")),
    "entitlements.give_many_grants",
    "billing.start_reconciliationrun",
    "billing.run_invariantcheck",
]
ROLES = {"Read-only": READ, "Support": HELP, "Finance": COUNT, "Operator": RUN}


def extend_roles(apps, schema_editor):
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
        ("billing", "0005_watch"),
        ("entitlements", "0002_managed_grants"),
        ("keystore", "0004_second_factor"),
        ("axes", "0010_accessattemptexpiration"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    # Taking permissions away again would take them from the people who hold them.
    operations = [migrations.RunPython(extend_roles, migrations.RunPython.noop)]
