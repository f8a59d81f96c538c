"""What the roles may do with coupons: everybody looks, finance offers, support gives a discount."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

LOOK = ["view_coupon", "view_promotioncode", "view_redemption"]
GIVE = [*LOOK, "discount_subscription"]
OFFER = [*GIVE, "offer_coupon"]
ROLES = {"Read-only": LOOK, "Support": GIVE, "Finance": OFFER, "Operator": OFFER}


def extend_roles(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after the last migration; the roles need them now.
    app = apps.get_app_config("billing")
    app.models_module = True
    create_permissions(app, verbosity=0, using=using, apps=apps)
    app.models_module = None
    rows = apps.get_model("auth", "Permission").objects.using(using)
    found = dict(
        rows.filter(content_type__app_label="billing", codename__in=OFFER).values_list(
            "codename", "pk"
        )
    )
    for name, permissions in ROLES.items():
        group, _ = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=name)
        group.permissions.add(*(found[permission] for permission in permissions))


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0028_currencies_tax_discounts"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    # Taking permissions away again would take them from the people who hold them.
    operations = [migrations.RunPython(extend_roles, migrations.RunPython.noop)]
