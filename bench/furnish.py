"""Fill a database for a measurement: `python -m bench.furnish 100000` prints what it made."""

import json
import sys
from datetime import timedelta

import django

DAYS = 30
# The first consumer's answer in everybody's name: as many rows as asked for, in seconds.
CONSUMERS = """
INSERT INTO keystore_consumer (public_id, project_id, external_id, email, name, tags, created_at)
SELECT 'con_' || n, %s, 'user_' || n, '', '', '{}', now() FROM generate_series(1, %s) AS n
"""
ANSWERS = """
INSERT INTO entitlements_answer
    (consumer_id, body, etag, version, changes_at, computed_at)
SELECT consumer.id, made.body, encode(sha256(made.body::bytea), 'hex'), 1,
       first.changes_at, first.computed_at
FROM keystore_consumer AS consumer
CROSS JOIN (SELECT * FROM entitlements_answer WHERE consumer_id = %s) AS first,
LATERAL (SELECT replace(first.body, '"user_0"', '"' || consumer.external_id || '"')) AS made(body)
WHERE consumer.id <> %s
"""


def main(consumers: int) -> None:
    from django.db import connection

    from config.clock import now
    from entitlements.models import Feature, Plan
    from entitlements.services import give_grant
    from keystore.models import Project
    from keystore.services import issue_key

    at = now()
    project = Project.objects.create(slug="bench", name="Bench")
    plan = Plan.objects.create(project=project, code="pro", name="Pro")
    for code in ("exports", "reports"):
        plan.plan_features.create(feature=Feature.objects.create(project=project, code=code))
    first = project.consumers.create(external_id="user_0")
    give_grant(
        consumer=first,
        plan=plan,
        valid_from=at,
        valid_to=at + timedelta(days=DAYS),
        reason="a measurement",
        granted_by="bench",
        idempotency_key="bench",
        actor="system",
        at=at,
    )
    with connection.cursor() as cursor:
        cursor.execute(CONSUMERS, [project.pk, consumers - 1])
        cursor.execute(ANSWERS, [first.pk, first.pk])
        cursor.execute("ANALYZE")
    app = project.apps.create(name="backend")
    app_key = issue_key(project=project, owner=app, scopes=["*"], actor="system", at=at)
    terms = {"own_limit_per_minute": 600_000, "own_burst": 600_000}
    keys = [
        issue_key(project=project, owner=consumer, actor="system", at=at, **terms).plaintext
        for consumer in project.consumers.order_by("pk")[:100]
    ]
    first.refresh_from_db()
    print(json.dumps({"app": app_key.plaintext, "keys": keys, "body": first.answer.body}))


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]))
