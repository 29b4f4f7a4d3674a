"""What measurements sum up to, against calculations by hand."""

import pytest

from fettle.loadtest.client import Measured, Usage
from fettle.loadtest.plot import plotted
from fettle.loadtest.report import LoadReport, Stats, result_of
from fettle.loadtest.spec import Load, LoadSpec

SPEC = LoadSpec(url="http://h/v1", models=("a", "b"), slo_ttft_seconds=0.5, slo_itl_seconds=0.1)


def answered(model, due, *gaps, usage=None, late=0.0):
    times = []
    for gap in gaps:
        times.append((times[-1] if times else due) + gap)
    return Measured(model, due, due + late, times[-1] + 0.25, tuple(times), usage)


def failed(model, kind, told):
    return Measured(model, 100, 100, 100.5, (), None, kind, told)


MEASURED = [
    answered("a", 100, 0.5, 0.05, 0.15, usage=Usage(11, 3)),
    # Two tokens came in one piece: the server counts 5, in 4 pieces.
    answered("a", 101, 0.25, 0.1, 0.1, 0.2, usage=Usage(13, 5), late=0.125),
    answered("b", 100, 0.75, 0.05),
    failed("b", "http_429", "come again"),
    failed("a", "http_429", "another time"),
    failed("a", "timeout", "too long"),
]


def result():
    return result_of(SPEC, Load(concurrency=2), MEASURED, begun=100, seconds=4, cpu_seconds=1)


def test_percentiles_are_interpolated_between_neighbours():
    stats = Stats.of([float(value) for value in range(1, 102)])
    assert (stats.p50, stats.p90, stats.p95, stats.p99) == pytest.approx((51, 91, 96, 100))
    assert (stats.num, stats.mean, stats.max) == (101, 51, 101)
    assert Stats.of([]) is None


def test_times_count_from_when_a_request_was_due():
    found = result().all
    assert found.ttft_seconds.p50 == pytest.approx(0.5)
    assert found.ttft_seconds.max == pytest.approx(0.75)
    # a: 0.7 + 0.25; a: 0.65 + 0.25; b: 0.8 + 0.25
    assert found.e2e_seconds.mean == pytest.approx((0.95 + 0.9 + 1.05) / 3)


def test_times_between_tokens_are_of_every_piece_and_their_means_of_every_request():
    found = result().all
    assert found.itl_seconds.num == 2 + 3 + 1
    assert found.itl_seconds.mean == pytest.approx((0.05 + 0.15 + 0.1 + 0.1 + 0.2 + 0.05) / 6)
    assert found.mean_itl_seconds.mean == pytest.approx((0.2 / 2 + 0.4 / 4 + 0.05) / 3)


def test_tokens_are_the_servers_count_or_the_pieces_and_it_is_said_which():
    found = result().all
    assert (found.prompt_tokens, found.output_tokens) == (24, 3 + 5 + 2)
    assert found.counted_by == {"usage": 2, "pieces": 1}
    assert found.output_tokens_per_second == pytest.approx(10 / 4)
    assert found.requests_per_second == pytest.approx(3 / 4)


def test_goodput_counts_what_was_answered_within_all_objectives():
    strict = SPEC.model_copy(update={"slo_itl_seconds": 0.06})
    loose = LoadSpec(url=SPEC.url, models=SPEC.models)
    results = [
        result_of(spec, Load(rate=1), MEASURED, begun=100, seconds=4, cpu_seconds=1).all.goodput
        for spec in (SPEC.model_copy(update={"slo_itl_seconds": 0.11}), strict, loose)
    ]
    # Within 0.5 s to the first token: both of a; within 0.06 s per token: only b, which was late with its first.
    assert results == [pytest.approx(2 / 4), 0, None]


def test_failures_are_counted_by_kind_with_the_first_thing_said():
    found = result()
    told = [(failure.kind, failure.num, failure.example) for failure in found.all.failures]
    assert told == [("http_429", 2, "come again"), ("timeout", 1, "too long")]
    assert (found.all.num_requests, found.all.num_answered) == (6, 3)


def test_models_add_up_to_all():
    found = result()
    assert list(found.models) == ["a", "b"]
    for name in ("num_requests", "num_answered", "output_tokens", "requests_per_second", "output_tokens_per_second"):
        parts = [getattr(summary, name) for summary in found.models.values()]
        assert sum(parts) == pytest.approx(getattr(found.all, name))
    assert [failure.num for failure in found.models["b"].failures] == [1]


def test_every_request_is_in_the_result_in_the_order_of_sending():
    found = result()
    assert len(found.requests) == len(MEASURED)
    sent = [request.sent_seconds for request in found.requests]
    assert sent == sorted(sent)
    (late,) = [request for request in found.requests if request.late_seconds]
    assert (late.model, late.late_seconds, late.sent_seconds) == ("a", 0.125, pytest.approx(1.125))
    assert found.client_cpu == pytest.approx(0.25)


def test_a_load_of_which_nothing_was_answered_has_no_times_and_can_be_drawn():
    nothing = [failed("a", "http_500", "oh")]
    results = tuple(
        result_of(SPEC, load, measured, begun=100, seconds=1, cpu_seconds=0)
        for load, measured in ((Load(concurrency=1), nothing), (Load(rate=2.5), MEASURED), (Load(rate=5), []))
    )
    report = LoadReport(spec=SPEC, fettle="0", begun_at="2026-01-01T00:00:00Z", results=results)
    assert results[0].all.ttft_seconds is None
    assert results[0].all.goodput == 0
    assert LoadReport.model_validate_json(report.model_dump_json()) == report
    assert plotted(report, "png").startswith(b"\x89PNG")
    assert b"<svg" in plotted(report, "svg")
    empty = report.model_copy(update={"results": results[:1]})
    assert (report.has_answers, empty.has_answers) == (True, False)
    assert plotted(empty, "png").startswith(b"\x89PNG")
