"""What the programs are asked about: consumers, their answers and keys by the million, by SQL.

One consumer is made by the services; the others are copies of it, with names of their own. A few
of the copies are computed anew by the services and must come out the same.
"""

import hashlib
import os
import zlib
from datetime import timedelta

import django

from bench.places import say
from bench.servers import Servers
from keystore.ids import base62

SLUG, APP_KEY, MODEL_USER = "bench", "sk_bench_app_key", "user_0"
MOST_KEYS = 20_000  # consumers whose keys are known in the clear
METER = "api_calls"
UNLIMITED = 1_000_000_000


def connect(servers: Servers) -> None:
    """Let this process use the product's own code."""
    os.environ.update(servers.environment)
    django.setup()


def use(database: str) -> None:
    """From here on the product's code in this process works on that database."""
    from django.db import connection  # needs the settings

    connection.close()
    connection.settings_dict["NAME"] = database
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET lock_timeout = 0")
        cursor.execute("SET idle_in_transaction_session_timeout = 0")


def leave() -> None:
    """So that the database may be copied or dropped."""
    from django.db import connection

    connection.close()


def token_of(number: int) -> str:
    """The key of a consumer: one in our form, but not a secret."""
    start = f"lk_live_{hashlib.sha256(str(number).encode()).hexdigest()[:30]}"
    return start + base62(zlib.crc32(start.encode()), 6)


def furnish(consumers: int) -> None:
    """Fill up to so many consumers, with a plan, a ready answer and a key each."""
    project = _project()
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM keystore_consumer WHERE project_id = %s", [project.pk])
        (there,) = cursor.fetchone()
        if there < consumers:
            say(f"  {consumers:,} consumers")
            _copy_consumers(cursor, project.pk, there, consumers)
            # The one that the others are copies of has no key yet, either.
            _add_keys(cursor, project.pk, 0 if there == 1 else there, consumers)
            for table in ("keystore_consumer", "entitlements_grant", "entitlements_answer",
                          "keystore_apikey"):  # fmt: skip
                cursor.execute(f"VACUUM ANALYZE {table}")
    _prove_copies(project, consumers)


def _project():  # type: ignore[no-untyped-def]
    """The project with its app, plan, meter, and the consumer that the others are copies of."""
    from config.clock import now
    from entitlements.models import Enforcement, FeatureKind, Reset
    from entitlements.services import give_grant
    from keystore.models import Project
    from keystore.services import import_key, register_consumer
    from metering.models import Meter

    project, is_new = Project.objects.get_or_create(slug=SLUG)
    if not is_new:
        return project
    app = project.apps.create(name="bench")
    said = {"actor": "bench", "at": now()}
    import_key(project=project, owner=app, plaintext=APP_KEY, name="bench", scopes=["*"], **said)
    plan = project.plans.create(code="pro", name="Pro", limit_per_minute=UNLIMITED)
    exports = project.features.create(code="exports")
    calls = project.features.create(code=METER, kind=FeatureKind.LIMIT)
    plan.plan_features.create(feature=exports)
    plan.plan_features.create(
        feature=calls, limit=UNLIMITED, reset=Reset.CALENDAR_MONTH, enforcement=Enforcement.HARD
    )
    Meter.objects.create(project=project, code=METER, feature=calls, aggregation="sum")
    consumer = register_consumer(project=project, external_id=MODEL_USER, actor="bench")
    give_grant(
        **{"consumer": consumer, "plan": plan, "valid_from": None, "reason": "bench"},
        **{"valid_to": said["at"] + timedelta(days=300), "granted_by": "bench"},
        **{"idempotency_key": "bench", **said},
    )
    return project


COPY_CONSUMERS = """
INSERT INTO keystore_consumer (public_id, project_id, external_id, email, name, tags, created_at)
SELECT 'con_' || lpad(n::text, length(model.public_id) - 4, '0'), project_id, 'user_' || n, email,
    name, tags, created_at
FROM keystore_consumer AS model, generate_series(%(first)s::bigint, %(last)s::bigint) AS n
WHERE project_id = %(project)s AND external_id = 'user_0'
"""
# {columns}: those of a grant that are the same for all.
COPY_GRANTS = """
INSERT INTO entitlements_grant (public_id, consumer_id, {columns})
SELECT 'grant_' || lpad(substr(c.external_id, 6), length(g.public_id) - 6, '0'), c.id, {values}
FROM entitlements_grant AS g JOIN keystore_consumer AS model ON model.id = g.consumer_id
    AND model.external_id = 'user_0', keystore_consumer AS c
WHERE g.project_id = %(project)s AND c.project_id = %(project)s
  AND substr(c.external_id, 6)::bigint BETWEEN %(first)s AND %(last)s
"""
COPY_ANSWERS = """
INSERT INTO entitlements_answer (consumer_id, body, etag, version, changes_at, computed_at)
SELECT made.id, made.body, encode(sha256(made.body::bytea), 'hex'), made.version, made.changes_at,
    made.computed_at
FROM (
    SELECT c.id, a.version, a.changes_at, a.computed_at,
        replace(replace(replace(a.body, '"user_0"', '"' || c.external_id || '"'),
            model.public_id, c.public_id), g.public_id, own.public_id) AS body
    FROM entitlements_answer AS a JOIN keystore_consumer AS model ON model.id = a.consumer_id
    JOIN entitlements_grant AS g ON g.consumer_id = model.id
    JOIN keystore_consumer AS c ON c.project_id = model.project_id AND c.id <> model.id
    JOIN entitlements_grant AS own ON own.consumer_id = c.id
    WHERE model.project_id = %(project)s AND model.external_id = 'user_0'
      AND substr(c.external_id, 6)::bigint BETWEEN %(first)s AND %(last)s
) AS made
"""


def _copy_consumers(cursor, project: int, first: int, last: int) -> None:  # type: ignore[no-untyped-def]
    """Consumers number `first` to `last` - 1. Nobody listens yet: triggers would tell of each."""
    values = {"project": project, "first": first, "last": last - 1}
    cursor.execute("SET session_replication_role = replica")
    cursor.execute(COPY_CONSUMERS, values)
    cursor.execute(
        "SELECT string_agg(quote_ident(column_name), ', '), string_agg("
        " CASE column_name WHEN 'source_ref' THEN 'CASE WHEN g.source_ref = g.public_id THEN"
        " ''grant_'' || lpad(substr(c.external_id, 6), length(g.public_id) - 6, ''0'')"
        " ELSE g.source_ref END' ELSE 'g.' || quote_ident(column_name) END, ', ')"
        " FROM information_schema.columns WHERE table_name = 'entitlements_grant'"
        " AND column_name NOT IN ('id', 'public_id', 'consumer_id')"
    )
    columns, expressions = cursor.fetchone()
    cursor.execute(COPY_GRANTS.format(columns=columns, values=expressions), values)
    cursor.execute("ANALYZE entitlements_grant")
    cursor.execute("ANALYZE keystore_consumer")
    cursor.execute(COPY_ANSWERS, values)
    cursor.execute("SET session_replication_role = DEFAULT")


# All else of a key is as the app's own.
ADD_KEYS = """
INSERT INTO keystore_apikey ({names}, {plain})
SELECT 'key_' || lpad(substr(c.external_id, 6), 20, '0'), c.id, NULL,
    coalesce(k.digest, encode(sha256(c.external_id::bytea), 'hex')), '{{data:read}}', %(limit)s,
    {columns}
FROM keystore_consumer AS c LEFT JOIN known AS k ON k.n = substr(c.external_id, 6)::bigint,
    (SELECT * FROM keystore_apikey WHERE project_id = %(project)s AND app_id IS NOT NULL
     LIMIT 1) AS model
WHERE c.project_id = %(project)s
  AND substr(c.external_id, 6)::bigint BETWEEN %(first)s AND %(last)s
"""
NAMES = ("public_id", "consumer_id", "app_id", "digest", "scopes", "plan_limit_per_minute")


def _add_keys(cursor, project: int, first: int, last: int) -> None:  # type: ignore[no-untyped-def]
    """A key each: of the first 20,000 we know the plaintext, of the others nobody does."""
    from keystore.models import ApiKey
    from keystore.tokens import digest

    cursor.execute("CREATE TEMPORARY TABLE known (n bigint PRIMARY KEY, digest text)")
    with cursor.copy("COPY known FROM STDIN") as copy:
        for number in range(first, min(last, MOST_KEYS)):
            copy.write_row((number, digest(token_of(number))))
    cursor.execute("ANALYZE known")
    cursor.execute("SET session_replication_role = replica")
    values = {"limit": UNLIMITED, "project": project, "first": first, "last": last - 1}
    columns = ", ".join(
        f"model.{field.column}"
        for field in ApiKey._meta.concrete_fields
        if field.column not in {"id", *NAMES}
    )
    query = ADD_KEYS.format(
        names=", ".join(NAMES), columns=columns, plain=columns.replace("model.", "")
    )
    cursor.execute(query, values)
    cursor.execute("SET session_replication_role = DEFAULT")
    cursor.execute("DROP TABLE known")


def _prove_copies(project, consumers: int) -> None:  # type: ignore[no-untyped-def]
    """The services compute the very answers that were copied."""
    from config.clock import now
    from entitlements.models import Answer
    from entitlements.services import refresh_answer

    for number in {0, 1, consumers // 2, consumers - 1}:
        copied = Answer.objects.select_related("consumer__project").get(
            consumer__project=project, consumer__external_id=f"user_{number}"
        )
        computed = refresh_answer(consumer=copied.consumer, at=now())
        assert (computed.body, computed.etag) == (copied.body, copied.etag), (computed, copied)


def answers_of(users: list[int]) -> list[tuple[int, bytes]]:
    """Numbers of users and the bodies of their answers."""
    from entitlements.models import Answer

    found = Answer.objects.filter(
        consumer__project__slug=SLUG, consumer__external_id__in=[f"user_{n}" for n in users]
    ).values_list("consumer__external_id", "body")
    return [(int(name.removeprefix("user_")), body.encode()) for name, body in found]
