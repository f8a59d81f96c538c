"""However many beats run, each job is rung once per interval, and a beat's death delays little."""

from datetime import timedelta

import pytest
from celery import Celery
from django.db import connection

from config import alive
from config.beat import RETRY_SECONDS, ClaimingScheduler
from config.clock import now
from keystore import jobs
from keystore.models import JobRun
from tests.conftest import NOON
from tests.together import at_once

HOURLY, DAILY = "hourly", "daily"
SECONDS = {HOURLY: 3600.0, DAILY: 24 * 3600.0}


class Bells(Celery):
    """An app whose tasks are only noted: what beat hands to the broker."""

    def __init__(self) -> None:
        super().__init__("bells", set_as_current=False)
        self.rung: list[str] = []
        self.conf.update(
            result_expires=None,
            beat_schedule={
                name: {"task": name, "schedule": seconds} for name, seconds in SECONDS.items()
            },
        )

    def send_task(self, name, *_, **__):
        self.rung.append(name)


class Beat(ClaimingScheduler):
    """Beat without its connection to the broker."""

    producer = None


@pytest.fixture(autouse=True)
def _nothing_ran_yet(db):
    JobRun.objects.all().delete()


def rung(name, *, ago):
    JobRun.objects.update_or_create(
        name=name,
        defaults={"outcome": "done", "started_at": NOON, "rung_at": now() - timedelta(seconds=ago)},
    )


def work(beat, *, ticks=5):
    for _ in range(ticks):
        beat.tick()
    return beat.app.rung


def test_two_beats_ring_a_job_once():
    rung(HOURLY, ago=3601)
    rung(DAILY, ago=3601)
    first, second = Beat(app=Bells()), Beat(app=Bells())

    assert (work(first), work(second)) == ([HOURLY], [])


def test_a_beat_that_knows_nothing_of_the_other_s_ring_is_refused():
    rung(HOURLY, ago=3601)
    rung(DAILY, ago=3601)
    first, second = Beat(app=Bells()), Beat(app=Bells())
    assert second.resume()  # now both think that it is time

    assert (work(first), work(second)) == ([HOURLY], [])


@pytest.mark.django_db(transaction=True)
def test_of_many_claims_at_the_same_instant_one_is_granted():
    rung(HOURLY, ago=3601)

    claims = at_once(lambda: jobs.claim_ring(name=HOURLY, every_seconds=3600))

    assert sorted(claims) == [False] * 7 + [True]


@pytest.mark.django_db(transaction=True)
def test_of_many_first_claims_one_is_granted():
    claims = at_once(lambda: jobs.claim_ring(name=HOURLY, every_seconds=3600))

    assert sorted(claims) == [False] * 7 + [True]


def test_a_second_beat_takes_over_when_the_first_is_gone():
    rung(HOURLY, ago=600)
    rung(DAILY, ago=3601)
    second = Beat(app=Bells())
    assert work(second) == []

    rung(HOURLY, ago=3601)  # the first has not rung since
    second.resume()

    assert work(second) == [HOURLY]


def test_a_daily_job_comes_daily_although_beat_starts_twice_a_day():
    rung(HOURLY, ago=0)
    rung(DAILY, ago=SECONDS[DAILY] + 1)

    assert work(Beat(app=Bells())) == [DAILY]


def test_a_tick_some_milliseconds_early_is_no_second_ring():
    rung(HOURLY, ago=3599.9)

    assert jobs.claim_ring(name=HOURLY, every_seconds=3600)
    assert not jobs.claim_ring(name=HOURLY, every_seconds=3600)


@pytest.mark.django_db(transaction=True)
def test_a_beat_waits_for_a_lost_database_and_goes_on(settings):
    rung(HOURLY, ago=3601)
    rung(DAILY, ago=3601)
    beat = Beat(app=Bells())
    beat.resume()
    name = settings.DATABASES["default"]["NAME"]

    connection.close()
    connection.settings_dict["NAME"] = "nowhere"
    try:
        assert work(beat) == []
        assert beat.tick() == RETRY_SECONDS
    finally:
        connection.settings_dict["NAME"] = name

    assert work(beat) == [HOURLY]


def test_beat_shows_that_it_comes_round(settings, tmp_path):
    settings.ALIVE_FILE = str(tmp_path / "alive")

    Beat(app=Bells()).tick()

    assert (tmp_path / "alive").exists()


def test_nobody_touches_a_file_that_is_not_named(settings):
    settings.ALIVE_FILE = ""

    alive.touch()
