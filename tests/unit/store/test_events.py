from fettle.store.database import Database
from fettle.store.events import EventLog


def test_events_come_back_in_order_and_from_where_one_stopped(database: Database) -> None:
    log = EventLog(database)
    for step in range(5):
        log.append("job_1", "step", step=step)
        log.append("job_2", "step", step=100)
    first = log.of("job_1", limit=2)
    rest = log.of("job_1", after=first[-1].id)
    assert [event.body["step"] for event in [*first, *rest]] == [0, 1, 2, 3, 4]


def test_only_the_asked_types_are_given(database: Database) -> None:
    log = EventLog(database)
    log.append("job_1", "created", by="somebody")
    log.append("job_1", "step", step=1)
    assert [event.type for event in log.of("job_1", types=("created",))] == ["created"]
    assert log.of("job_1")[0].at.tzinfo is not None
