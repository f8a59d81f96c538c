"""What the roles may do of adjustments and terms: everybody looks, money agrees."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

LOOK = ["view_adjustment", "view_marketpolicy"]
AGREE = [*LOOK, "approve_adjustment", "set_market_terms"]
ROLES = {"Read-only": LOOK, "Support": LOOK, "Finance": AGREE, "Operator": LOOK}


def extend_roles(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after the last migration; the roles need them now.
    app = apps.get_app_config("billing")
    app.models_module = True
    create_permissions(app, verbosity=0, using=using, apps=apps)
    app.models_module = None
    rows = apps.get_model("auth", "Permission").objects.using(using)
    found = dict(
        rows.filter(content_type__app_label="billing", codename__in=AGREE).values_list(
            "codename", "pk"
        )
    )
    for name, permissions in ROLES.items():
        group, _ = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=name)
        group.permissions.add(*(found[permission] for permission in permissions))


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0025_adjustments"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    # Taking permissions away again would take them from the people who hold them.
    operations = [migrations.RunPython(extend_roles, migrations.RunPython.noop)]
