"""What the roles may do with keys. What they may do more is added by hand."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

APPS = ("keystore",)

READ = ["keystore.view_keyleak"]
RUN = [*READ, "keystore.edit_apikey", "keystore.import_apikey"]
ROLES = {"Read-only": READ, "Support": READ, "Finance": READ, "Operator": RUN}


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
        ("billing", "0007_usage_reports"),
        ("keystore", "0007_leaked_keys"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    # Taking permissions away again would take them from the people who hold them.
    operations = [migrations.RunPython(extend_roles, migrations.RunPython.noop)]
