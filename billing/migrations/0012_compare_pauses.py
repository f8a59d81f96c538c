from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0011_roles_of_meters"),
    ]

    operations = [
        migrations.AddField(
            model_name="subscription",
            name="paid_until",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="listedobject",
            name="paused",
            field=models.BooleanField(null=True),
        ),
        migrations.AddField(
            model_name="listedobject",
            name="paid_until",
            field=models.DateTimeField(null=True),
        ),
    ]
