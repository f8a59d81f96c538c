import socket
import time
from contextlib import suppress

import pytest
import redis

from keystore import local_limits, ratelimit, scriptline
from keystore.limits import Limit
from keystore.local_limits import LocalLimits
from keystore.ratelimit import Breaker, take, take_all
from tests.keystore.limit_proof import wronged
from tests.together import at_once

SOCKET_SECONDS = ratelimit.SOCKET_SECONDS  # as shipped; the tests' own is longer


@pytest.fixture
def subject(request):
    return f"{request.node.name}:{time.monotonic_ns()}"


@pytest.fixture
def no_redis(settings, tmp_path):
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"


@pytest.fixture
def as_shipped(monkeypatch):
    """The wait for Redis that production has."""
    monkeypatch.setattr(ratelimit, "SOCKET_SECONDS", SOCKET_SECONDS)


@pytest.fixture
def hung_redis(as_shipped, settings, tmp_path):
    """A socket that accepts and never answers."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "hung.sock"))
    server.listen(64)
    server.setblocking(False)
    settings.REDIS_URL = f"unix://{tmp_path}/hung.sock"
    yield server
    server.close()


def callers_of(server):
    """How many connections wait to be accepted."""
    count = 0
    with suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            count += 1
    return count


def made_slowly(limiter):
    def make(redis_url):
        time.sleep(0.05)
        return limiter(redis_url)

    return make


def admitted(subject, seconds, **limit):
    """How many calls of 8 threads get through in that time and until a refusal; then the least
    and the most time in which they did: from the first answer, and from the start to the end.
    """
    start = time.monotonic()

    def hammer():
        got = take(subject=subject, **limit).allowed
        first_answer, allowed = time.monotonic(), True
        while allowed or time.monotonic() < start + seconds:
            allowed = take(subject=subject, **limit).allowed
            got += allowed
        return first_answer, got

    first_answers, got = zip(*at_once(hammer), strict=True)
    return sum(got), start + seconds - min(first_answers), time.monotonic() - start


def test_burst_and_rate_are_admitted_and_never_more(subject):
    total, least, most = admitted(subject, 2, limit_per_minute=600, burst=50)

    assert 50 + 10 * least - 1 <= total <= 50 + 10 * most


def test_a_minutes_worth_may_come_at_once(subject):
    allowed = [take(subject=subject, limit_per_minute=5, burst=None).allowed for _ in range(7)]
    assert allowed == [True] * 5 + [False] * 2


def test_refusal_says_when_to_come_back(subject):
    for _ in range(2):
        take(subject=subject, limit_per_minute=1, burst=2)

    refusal = take(subject=subject, limit_per_minute=1, burst=2)

    assert (refusal.allowed, refusal.limit, refusal.remaining) == (False, 1, 0)
    # Seconds may have gone by since the first call; a minute has not.
    assert 1 <= refusal.retry_after_seconds <= 60 < refusal.reset_seconds <= 120


def test_looking_takes_nothing(subject):
    looks = [take(subject=subject, limit_per_minute=3, burst=3, cost=0) for _ in range(5)]
    assert [look.remaining for look in looks] == [3] * 5


def test_cost_is_taken_whole_or_not_at_all(subject):
    limit = {"subject": subject, "limit_per_minute": 10, "burst": 10}

    assert take(**limit, cost=7).remaining == 3
    assert take(**limit, cost=7).allowed is False
    assert take(**limit, cost=3).allowed is True


def test_limit_of_zero_lets_nobody_through(subject):
    verdict = take(subject=subject, limit_per_minute=0, burst=None)
    assert (verdict.allowed, verdict.limit) == (False, 0)


def test_subjects_do_not_share(subject):
    take(subject=subject, limit_per_minute=1, burst=1)
    assert take(subject=f"{subject} 2", limit_per_minute=1, burst=1).allowed


@pytest.mark.usefixtures("no_redis")
def test_first_callers_without_redis_share_one_bucket(subject, monkeypatch):
    monkeypatch.setattr(ratelimit, "Limiter", made_slowly(ratelimit.Limiter))

    verdicts = at_once(lambda: take(subject=subject, limit_per_minute=1, burst=1))

    assert [verdict.allowed for verdict in verdicts].count(True) == 1


@pytest.mark.usefixtures("no_redis")
def test_without_redis_a_process_admits_its_share_and_never_more(subject, settings):
    settings.WEB_PROCESSES = 4

    total, least, most = admitted(subject, 1, limit_per_minute=2400, burst=40)

    assert 10 + 10 * least - 1 <= total <= 10 + 10 * most


def test_hung_redis_costs_one_short_wait_per_rest(subject, hung_redis):
    start = time.monotonic()
    verdicts = [take(subject=subject, limit_per_minute=60, burst=60) for _ in range(50)]
    rests = int((time.monotonic() - start) / ratelimit.REST_SECONDS)

    assert all(verdict.allowed for verdict in verdicts)
    assert 1 <= callers_of(hung_redis) <= 1 + rests


def test_redis_that_comes_back_counts_again(subject, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(ratelimit, "REST_SECONDS", 0.05)
    limiter = ratelimit.Limiter(f"unix://{tmp_path}/nobody.sock")
    two = [Limit(2)]
    assert limiter.take(subject, two, 1, 1)[0].remaining == 1

    limiter._script.registered_client.connection_pool = redis.ConnectionPool.from_url(
        settings.REDIS_URL
    )
    time.sleep(0.06)

    assert limiter.take(subject, two, 1, 1)[0].remaining == 1  # a fresh count, in Redis
    assert limiter.take(subject, two, 1, 1)[0].remaining == 0


@pytest.mark.parametrize("rested", [False, True])
def test_line_that_redis_closed_is_noticed_before_it_is_used_again(
    subject, settings, monkeypatch, rested
):
    monkeypatch.setattr(scriptline, "IDLE_SECONDS", 0.0 if rested else 60.0)
    limiter, three = ratelimit.Limiter(settings.REDIS_URL), [Limit(3)]
    limiter.take(subject, three, 1, 1)
    used = limiter._ask._own.connection
    used.send_command("CLIENT", "ID")
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.client_kill_filter(_id=used.read_response())

    remaining = limiter.take(subject, three, 1, 1)[0].remaining

    assert remaining == (1 if rested else 2)  # counted on, or by this process alone


class Interrupted(BaseException):
    """As a time limit of a task would end whatever it does."""


class InterruptedLine:
    """Sends, and does not come to read the answer."""

    def __init__(self, line):
        self.line = line

    def __getattr__(self, name):
        return getattr(self.line, name)

    def recv(self, size):
        raise Interrupted


def test_answer_that_nobody_waited_for_is_not_the_next_ones(subject, settings):
    limiter, used = ratelimit.Limiter(settings.REDIS_URL), f"{subject} used"
    assert limiter.take(used, [Limit(3)], 3, 1)[0].remaining == 0
    connection = limiter._ask._own.connection
    connection._sock = InterruptedLine(connection._sock)
    with pytest.raises(Interrupted):
        limiter.take(subject, [Limit(3)], 1, 1)
    if isinstance(connection._sock, InterruptedLine):  # nobody hung up: the answer waits there
        connection._sock = connection._sock.line

    assert not limiter.take(used, [Limit(3)], 1, 1)[0].allowed


def test_broken_circuit_lets_one_caller_in_every_rest(monkeypatch):
    now = [100.0]
    breaker = Breaker(lambda: now[0])
    breaker.failed()

    assert [breaker.may_try() for _ in range(3)] == [False] * 3
    now[0] += ratelimit.REST_SECONDS
    assert [breaker.may_try() for _ in range(3)] == [True, False, False]
    breaker.worked()
    assert [breaker.may_try() for _ in range(3)] == [True] * 3


def test_memory_without_redis_is_bounded(monkeypatch):
    monkeypatch.setattr(local_limits, "MOST_SUBJECTS", 10)
    limits = LocalLimits(lambda: 5.0)

    for number in range(30):
        limits.take(f"subject {number}", [Limit(5)], 1)

    assert len(limits) == 10


def test_client_never_sends_a_command_twice(settings, as_shipped):
    client = ratelimit.Limiter(settings.REDIS_URL)._script.registered_client
    connection = client.connection_pool.make_connection()

    assert connection.retry._retries == 0
    assert connection.socket_timeout <= 0.2
    assert connection.socket_connect_timeout <= 0.2


def times_taken(subject, limit, count, every):
    """When each call, one asked for every so many seconds, was asked and answered: those that
    were admitted, those that were refused.
    """
    began, admitted, refused = time.monotonic(), [], []
    for number in range(count):
        time.sleep(max(0.0, began + number * every - time.monotonic()))
        asked = time.monotonic()
        allowed = take_all(subject=subject, limits=[limit])[0].allowed
        (admitted if allowed else refused).append((asked, time.monotonic()))
    return admitted, refused


@pytest.mark.parametrize("calls", [5, 300])  # each on its own, and by grains
def test_no_window_wherever_it_begins_holds_more_than_the_limit(subject, calls):
    limit = Limit(calls, window_seconds=1)

    admitted, refused = times_taken(subject, limit, 4 * calls, 0.5 / calls)

    pairs = zip(admitted, admitted[calls:], strict=False)
    assert min(answered - asked for (asked, _), (_, answered) in pairs) > 0.999
    assert wronged(admitted, refused, limit) == 0


def test_several_limits_take_all_or_nothing(subject):
    limits = [Limit(5), Limit(2, window_seconds=86_400, name="day"), Limit(9, burst=9, name="odd")]
    taken = [take_all(subject=subject, limits=limits) for _ in range(3)]

    assert [[one.allowed for one in each] for each in taken] == [
        [True] * 3,
        [True] * 3,
        [True, False, True],
    ]
    assert [one.remaining for one in taken[2]] == [3, 0, 7]
    assert 86_300 < taken[2][1].retry_after_seconds <= 86_400


def test_retry_after_counts_what_the_cost_needs(subject):
    limit = [Limit(4, window_seconds=1000)]
    take_all(subject=subject, limits=limit, cost=1)
    time.sleep(1.1)
    take_all(subject=subject, limits=limit, cost=3)

    four, one = (take_all(subject=subject, limits=limit, cost=cost)[0] for cost in (4, 1))

    assert 900 < one.retry_after_seconds < four.retry_after_seconds <= 1000
    assert take_all(subject=subject, limits=limit, cost=5)[0].allowed is False


def test_a_clock_that_was_put_back_lets_nobody_through_twice(subject, settings):
    key = f"rl:{{{subject}}}:window:minute"
    hour_ahead = f"{(time.time() + 3600) * 1e6:.0f}"
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.rpush(key, 0, 0, hour_ahead, 5)

    refusal = take_all(subject=subject, limits=[Limit(5)])[0]

    assert (refusal.allowed, refusal.retry_after_seconds) == (False, 60)


@pytest.mark.parametrize(
    ("limit", "share"),
    [
        (Limit(10), Limit(2)),
        (Limit(100, burst=20), Limit(25, burst=5)),
        (Limit(2), Limit(1, window_seconds=120)),
        (Limit(3, burst=2), Limit(1, window_seconds=80, burst=1)),
    ],
)
def test_the_shares_of_four_processes_stay_within_the_limit(limit, share):
    assert local_limits.share_of(limit, 4) == share


def test_without_redis_no_window_holds_more_than_the_share():
    now = [100.0]
    limits, share = LocalLimits(lambda: now[0]), [Limit(100, window_seconds=1)]
    admitted = []
    for _ in range(600):
        now[0] += 0.005
        if limits.take("subject", share, 1)[0].allowed:
            admitted.append(now[0])

    least = [later - first for first, later in zip(admitted, admitted[100:], strict=False)]
    assert min(least) > 0.9999
    assert len(admitted) >= 290


def test_redis_that_is_wiped_under_load_forgets_once_and_breaks_nothing(subject, settings):
    limit, taken = [Limit(100)], []

    def hammer():
        taken.extend(take_all(subject=subject, limits=limit)[0].allowed for _ in range(50))

    at_once(hammer, times=4)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushall()
    at_once(hammer, times=4)

    assert taken.count(True) == 200  # the limit before, and the limit after


def test_redis_without_the_script_is_given_it_again(subject, settings):
    take_all(subject=subject, limits=[Limit(3)])
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.script_flush()

    assert take_all(subject=subject, limits=[Limit(3)])[0].remaining == 1
