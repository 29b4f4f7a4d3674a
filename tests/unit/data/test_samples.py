import json
from collections import Counter
from itertools import islice

import pytest

from fettle.data.samples import ACTIONS, CATEGORIES, PRIORITIES, support_tickets

KEYS = ["category", "priority", "product", "order_id", "action"]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    return list(support_tickets(2000, seed=3))


def test_the_same_seed_gives_the_same_rows_and_more_rows_begin_alike(rows):
    assert list(support_tickets(2000, seed=3)) == rows
    assert list(support_tickets(50, seed=3)) == rows[:50]
    assert list(islice(support_tickets(50, seed=4), 50)) != rows[:50]


def test_no_request_comes_twice(rows):
    assert len({row["prompt"] for row in rows}) == len(rows) == 2000


def test_a_ticket_is_compact_json_with_its_keys_in_order(rows):
    for row in rows:
        ticket = json.loads(row["completion"])
        assert list(row) == ["prompt", "completion"]
        assert list(ticket) == KEYS
        assert json.dumps(ticket, ensure_ascii=False) == row["completion"]


def test_product_and_order_are_copied_from_the_request(rows):
    for row in rows:
        ticket = json.loads(row["completion"])
        assert row["prompt"].count(ticket["product"]) >= 1
        assert ticket["order_id"] is None or ticket["order_id"] in row["prompt"]


def test_every_label_is_used_often_enough_to_be_learned(rows):
    tickets = [json.loads(row["completion"]) for row in rows]
    for key, labels in (("category", CATEGORIES), ("priority", PRIORITIES), ("action", ACTIONS)):
        counts = Counter(ticket[key] for ticket in tickets)
        assert set(counts) == set(labels)
        assert min(counts.values()) > len(rows) * 0.05
    missing = sum(ticket["order_id"] is None for ticket in tickets)
    assert 0.2 < missing / len(tickets) < 0.5


def test_requests_are_a_few_sentences_long(rows):
    lengths = sorted(len(row["prompt"]) for row in rows)
    assert lengths[0] > 40
    assert lengths[-1] < 320


def test_punctuation_is_never_doubled(rows):
    assert not [row["prompt"] for row in rows if ",," in row["prompt"] or ",." in row["prompt"] or "{" in row["prompt"]]
