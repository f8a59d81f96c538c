"""Periods of sales by use, and adjustments that two people agree to."""

import django.db.models.deletion
import django.utils.timezone
import functools
import keystore.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0024_roles_of_credit_notes'),
        ('keystore', '0012_identity'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='marketpolicy',
            options={'permissions': [('set_market_terms', "Can set a project's payout schedule and minimums")], 'verbose_name_plural': 'market policies'},
        ),
        migrations.AddField(
            model_name='earning',
            name='period_end',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='earning',
            name='period_start',
            field=models.DateTimeField(null=True),
        ),
        migrations.CreateModel(
            name='Adjustment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.CharField(default=functools.partial(keystore.ids.new_id, *('adj',), **{}), max_length=40, unique=True)),
                ('currency', models.CharField(max_length=3)),
                ('amount_minor', models.BigIntegerField()),
                ('reason', models.TextField()),
                ('wish', models.CharField(editable=False, max_length=60, unique=True)),
                ('state', models.CharField(choices=[('awaiting', 'Awaiting'), ('done', 'Done'), ('rejected', 'Rejected'), ('expired', 'Expired')], editable=False, max_length=10)),
                ('requested_by', models.CharField(max_length=255)),
                ('decided_by', models.CharField(blank=True, editable=False, max_length=255)),
                ('decided_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('decision_reason', models.TextField(blank=True, editable=False)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('creator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='adjustments', to='billing.creator')),
                ('earning', models.OneToOneField(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='adjustment', to='billing.earning')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='adjustments', to='keystore.project')),
            ],
            options={
                'permissions': [('approve_adjustment', "Can agree to another person's adjustment")],
                'indexes': [models.Index(condition=models.Q(('state', 'awaiting')), fields=['expires_at'], name='adjustment_waiting'), models.Index(fields=['creator', 'created_at'], name='adjustment_by_creator')],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['awaiting', 'done', 'rejected', 'expired'])), name='adjustment_state_is_known'), models.CheckConstraint(condition=models.Q(('amount_minor', 0), _negated=True), name='adjustment_is_something'), models.CheckConstraint(condition=models.Q(('decided_by', models.F('requested_by')), _negated=True), name='adjustment_four_eyes'), models.CheckConstraint(condition=models.Q(models.Q(('earning__isnull', False), ('state', 'done')), models.Q(models.Q(('state', 'done'), _negated=True), ('earning', None)), _connector='OR'), name='adjustment_is_on_the_ledger_when_done')],
            },
        ),
    ]
