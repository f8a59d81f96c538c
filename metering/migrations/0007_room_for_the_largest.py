"""Totals of the largest events, and of dimensions longer than an index can hold."""

import django.db.models.functions.comparison
import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('metering', '0006_fail_policies'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='usagedistinct',
            name='distinct_once_per_hour',
        ),
        migrations.RemoveConstraint(
            model_name='usagetotal',
            name='total_once_per_bucket',
        ),
        migrations.AlterField(
            model_name='quotabalance',
            name='from_credits',
            field=models.DecimalField(decimal_places=12, default=0, max_digits=50),
        ),
        migrations.AlterField(
            model_name='quotabalance',
            name='reserved',
            field=models.DecimalField(decimal_places=12, default=0, max_digits=50),
        ),
        migrations.AlterField(
            model_name='quotabalance',
            name='used',
            field=models.DecimalField(decimal_places=12, default=0, max_digits=50),
        ),
        migrations.AlterField(
            model_name='usagetotal',
            name='quantity',
            field=models.DecimalField(decimal_places=12, default=0, max_digits=50),
        ),
        migrations.AddConstraint(
            model_name='usagedistinct',
            constraint=models.UniqueConstraint(models.F('consumer'), models.F('meter'), models.F('bucket'), models.F('value'), models.F('api'), models.F('key'), django.db.models.functions.text.MD5(django.db.models.functions.comparison.Cast('dims', models.TextField())), name='distinct_once_per_hour', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='usagetotal',
            constraint=models.UniqueConstraint(models.F('consumer'), models.F('meter'), models.F('grain'), models.F('bucket'), models.F('api'), models.F('key'), django.db.models.functions.text.MD5(django.db.models.functions.comparison.Cast('dims', models.TextField())), name='total_once_per_bucket', nulls_distinct=False),
        ),
    ]
