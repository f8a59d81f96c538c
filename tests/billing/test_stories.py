"""Causes and their effects, put together."""

from datetime import timedelta

from billing.stories import Item, page_of, stories_of
from tests.conftest import NOON


def item(number, *joins, after=0, kind="money", table="entry"):
    """What happened `after` seconds."""
    at = NOON + timedelta(seconds=after)
    return Item((table, number), at, kind, f"{number}", frozenset(joins))


def told(stories):
    return [[one.text for one in story.items] for story in stories]


def test_what_shares_an_id_is_one_story_with_its_cause_first():
    event = item(1, "evt_1", kind="stripe", table="event")
    effects = [item(3, "evt_1", kind="access"), item(2, "evt_1", kind="money")]

    assert told(stories_of([*effects, event])) == [["1", "2", "3"]]


def test_ids_join_over_several_steps():
    call = item(1, "req_1", "op_1", table="operation")
    event = item(2, "evt_1", "op_1", after=1, table="event")
    effect = item(3, "evt_1", after=2)

    assert told(stories_of([effect, call, event])) == [["1", "2", "3"]]


def test_what_shares_nothing_stands_alone_newest_first():
    assert told(stories_of([item(1, after=1), item(2, after=2)])) == [["2"], ["1"]]


def test_one_row_found_twice_is_told_once():
    assert told(stories_of([item(1, "a"), item(1, "a")])) == [["1"]]


def test_page_ends_where_a_source_might_have_more():
    """The second source may have older items between those of the first."""
    first = [item(n, after=-n) for n in range(5)]
    second = [item(n, after=-n, table="event") for n in range(3)]

    kept, older = page_of([(first, False), (second, True)], limit=50)

    assert {one.at for one in kept} == {NOON, NOON - timedelta(seconds=1)}
    assert older == NOON - timedelta(seconds=1)


def test_pages_hold_a_number_of_stories():
    items = [item(n, f"req_{n // 2}", after=-n) for n in range(10)]

    kept, older = page_of([(items, False)], limit=2)

    assert [one.text for one in kept] == ["0", "1", "2", "3"]
    assert older == NOON - timedelta(seconds=3)


def test_last_page_says_so():
    assert page_of([([item(1)], False), ([], False)], limit=50)[1] is None
