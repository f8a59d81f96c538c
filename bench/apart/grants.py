"""What does it cost to give grants to many at once, with bad lines among them?

Run it as `LINES=10000 python -m pytest -q -s bench/apart/grants.py`: as CSV, from the text
to the last grant, every twentieth line bad.
"""

import os
import time

import pytest

from entitlements.batch_file import read_lines
from entitlements.batches import give_due, progress_of, read_batch, start_batch
from entitlements.models import Feature
from keystore.models import Consumer
from tests.conftest import NOON, journal  # noqa: F401

LINES = int(os.environ.get("LINES", "10000"))
BAD = (",,labs,,,2040-01-31,\n", "nobody,,labs,,,2040-01-31,\n", "user_1,,labs,,,2020-01-31,\n")


def csv() -> bytes:
    lines = [
        BAD[number // 20 % len(BAD)] if number % 20 == 0 else f"user_{number},,labs,,,2040-01-31,\n"
        for number in range(LINES)
    ]
    return ("consumer,plan,feature,limit,config,ends,reason\n" + "".join(lines)).encode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(3600)
def test_figures(journal):  # type: ignore[no-untyped-def]  # noqa: F811
    Feature.objects.create(project=journal, code="labs", name="Labs")
    Consumer.objects.bulk_create(
        [Consumer(project=journal, external_id=f"user_{number}") for number in range(LINES)]
    )
    said = {"actor": "staff:sam", "at": NOON, "may_be_endless": False}
    began = time.perf_counter()
    asked = {"reason": "Outage", "ticket": "T-1", "with_email": False}
    batch = read_batch(project=journal, lines=read_lines(csv()), **asked, **said)
    previewed = time.perf_counter()
    start_batch(batch=batch, good_ones_only=True, **said)
    cpu, began_giving = time.process_time(), time.perf_counter()
    while give_due(clock=lambda: NOON):
        pass
    ended = time.perf_counter()

    progress = progress_of(batch=batch)
    print(
        f"\nGrants from {LINES:,} lines, {progress.bad} of them bad: preview "
        f"{previewed - began:.1f} s, {progress.done:,} given in {ended - began_giving:.1f} s "
        f"({time.process_time() - cpu:.1f} s of our CPU), {progress.failed} failed"
    )
    assert (progress.done + progress.bad, progress.failed) == (LINES, 0)
