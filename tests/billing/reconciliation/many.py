"""One subscriber made into thousands, at Stripe and here, as so many syncs would have left them."""

import json
import time

import stripe
from django.db import connection

TABLES = (
    "keystore_consumer",
    "billing_stripecustomer",
    "billing_subscription",
    "billing_invoice",
    "billing_payment",
    "entitlements_grant",
    "keystore_apikey",
    "entitlements_answer",
    "djstripe_subscription",
)
PARENTS = ("customer_id", "latest_invoice_id", "default_payment_method_id")
FIRST_CONSUMER = 1_000_000
LISTS = {
    "/v1/customers": "customer",
    "/v1/subscriptions": "subscription",
    "/v1/charges": "charge",
    "/v1/invoices": "invoice",
}


def make_crowd(shop, settle, sandbox, times):
    """`times` copies of one subscriber in our tables; what it takes to copy them at Stripe too."""
    shop.sell_to("alice")
    settle()
    holder = shop.holders["alice"]
    objects = template_of(sandbox, holder)
    names, _ = names_of(holder, objects)
    copy_rows(holder, names, times)
    return objects, names


def tail(number):
    return f"_{number:06d}"


def template_of(sandbox, holder):
    """Everything at Stripe that belongs to the subscriber, by kind."""
    store = sandbox.store
    mine = [store.by_id[holder.stripe_customer_id]]
    mine += [each for each in store.by_id.values() if each.get("customer") == mine[0]["id"]]
    charges = {each["id"] for each in mine if each["object"] == "charge"}
    invoices = {each["id"] for each in mine if each["object"] == "invoice"}
    mine += [
        each
        for each in store.by_id.values()
        if each.get("object") in ("balance_transaction", "invoice_payment")
        and (each.get("source") in charges or each.get("invoice") in invoices)
    ]
    return mine


def names_of(holder, objects):
    """Every id that is the subscriber's own: each copy has it with a tail."""
    text = json.dumps(objects)
    own = {each["id"] for each in objects}
    own |= {item["id"] for each in objects for item in (each.get("items") or {}).get("data", [])}
    own |= {holder.consumer.public_id, holder.consumer.external_id}
    own |= set(holder.consumer.grants.values_list("public_id", flat=True))
    own |= set(holder.consumer.keys.values_list("public_id", flat=True))
    own |= set(holder.consumer.payments.values_list("public_id", flat=True))
    return sorted(own, key=len, reverse=True), text


def copy_rows(holder, names, times):
    """Copy our rows by SQL."""
    consumer = holder.consumer_id
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        for table in TABLES:
            cursor.execute(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_name = %s AND table_schema = 'public'",
                [table],
            )
            columns = cursor.fetchall()
            _copy_table(cursor, table, columns, consumer, names, times)
        cursor.execute("ANALYZE")
        cursor.execute("RESET statement_timeout")


def _copy_table(cursor, table, columns, consumer, names, times):
    of_consumer = {
        "keystore_consumer": f"t.id = {consumer}",
        "djstripe_subscription": "t.id IN (SELECT stripe_subscription_id "
        f"FROM billing_subscription WHERE consumer_id = {consumer})",
    }.get(table, f"t.consumer_id = {consumer}")
    own = {"keystore_consumer": "id", "djstripe_subscription": "djstripe_id"}.get(table, "")
    wanted = [
        # The mirror's copies keep the parents of the first: nothing looks at them.
        (
            name,
            f't."{name}"'
            if table.startswith("djstripe") and name in PARENTS
            else _expression(name, kind, names),
        )
        for name, kind in columns
        if not (name == own or (name == "id" and kind == "bigint"))
    ]
    if table == "keystore_consumer":
        wanted.append(("id", f"{FIRST_CONSUMER} + n"))
    into = ", ".join(f'"{name}"' for name, _ in wanted)
    what = ", ".join(expression for _, expression in wanted)
    cursor.execute(
        f"INSERT INTO {table} ({into}) SELECT {what} "
        f"FROM {table} t, generate_series(1, {times}) n WHERE {of_consumer}"
    )


def _expression(name, kind, names):
    if name == "consumer_id":
        return f"{FIRST_CONSUMER} + n"
    if name == "digest":
        return "md5('a' || n || t.digest) || md5('b' || n || t.digest)"
    if kind not in ("character varying", "text", "jsonb"):
        return f't."{name}"'
    expression = f't."{name}"::text'
    for each in names:
        expression = f"replace({expression}, '{each}', '{each}_' || lpad(n::text, 6, '0'))"
    return f"({expression})::{kind}"


def copy_at_stripe(sandbox, objects, names, times):
    """Copy the sandbox's objects."""
    text = json.dumps(objects)
    for number in range(1, times + 1):
        for each in json.loads(named(text, names, number)):
            sandbox.store.put(each)


def named(text, names, number):
    for each in names:
        text = text.replace(each, each + tail(number))
    return text


class Lists(stripe.HTTPClient):
    """Plays Stripe's lists for so many subscribers; counts the time that is not ours."""

    name = "lists"

    def __init__(self, objects, names, times):
        super().__init__(verify_ssl_certs=False)
        self.texts = {
            path: [json.dumps(each) for each in objects if each["object"] == kind]
            for path, kind in LISTS.items()
        }
        self.names, self.times = names, times
        self.cpu_seconds, self.pages, self.in_transaction = 0.0, 0, 0

    def request(self, method, url, headers, post_data=None, **_):
        began = time.process_time()
        path, _, query = url.partition("//")[2].partition("/")[2].partition("?")
        texts = self.texts.get(f"/{path}", [])
        start = 1
        if "starting_after=" in query:
            start = int(query.split("starting_after=")[1].split("&")[0].rsplit("_", 1)[1]) + 1
        end = min(start + 99, self.times)
        data = [named(text, self.names, n) for n in range(start, end + 1) for text in texts]
        more = json.dumps(bool(texts) and end < self.times)
        body = f'{{"object": "list", "has_more": {more}, "data": [{",".join(data)}]}}'
        self.pages += 1
        self.in_transaction += connection.in_atomic_block
        self.cpu_seconds += time.process_time() - began
        return body, 200, {}

    def close(self):
        """Nothing is open."""
