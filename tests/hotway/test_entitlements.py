"""The answer about a user, before Django and without it."""

from tests.hotway.conftest import call, environ_of

PATH = "/api/v1/entitlements"


def ask(door, key, user_id="alice", **more):
    return call(door, environ_of(PATH, query=f"user_id={user_id}", HTTP_X_API_KEY=key, **more))


def refuse(*given, **named):
    raise AssertionError("this went to Django")


def test_hot_answer_is_djangos_answer(hot, backend_key, alice, give):
    give(alice)
    door = hot(cached=False)
    by_django = ask(door, backend_key)
    door.django = refuse

    assert ask(door, backend_key).told() == by_django.told()
    assert by_django.status == "200 OK"


def test_cached_answer_is_djangos_answer(hot, backend_key, alice, give, monkeypatch):
    give(alice)
    door = hot()
    by_django = ask(door, backend_key)
    door.django = refuse
    ask(door, backend_key)
    assert len(door.cache) == 2
    monkeypatch.setattr("config.hotway.entitlements.find", refuse)

    assert ask(door, backend_key).told() == by_django.told()


def test_hot_answers_are_counted_with_the_others(hot, backend_key, alice, give):
    from config.http_metrics import http_text

    give(alice)
    door = hot()
    line = 'latchkey_http_requests_total{method="GET",route="entitlements",status="200"} '
    for _ in range(4):
        ask(door, backend_key)
    before = count_in(http_text().decode(), line)
    for _ in range(3):
        ask(door, backend_key)

    assert count_in(http_text().decode(), line) == before + 3


def test_what_memory_did_not_know_is_counted(hot, backend_key, alice, give):
    from config.http_metrics import http_text

    give(alice)
    door = hot()
    line = 'latchkey_front_door_statements_total{statement="ready_answer"} '
    ask(door, backend_key)
    before = count_in(http_text().decode(), line)
    for _ in range(3):
        ask(door, backend_key)

    assert count_in(http_text().decode(), line) == before + 1


def count_in(text, line):
    return float(text.partition(line)[2].partition("\n")[0] or 0)
