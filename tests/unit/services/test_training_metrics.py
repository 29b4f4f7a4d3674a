"""What a job measured, as a table by step; and what it is recorded to have been told."""

import csv
import io

from fettle.services.tuning_specs import with_defaults
from fettle.types.tuning import Hyperparameters, TuningSpec


def test_a_job_that_ran_has_a_row_for_each_step_with_what_was_measured_there(create, platform):
    job = create()
    platform.tuning_jobs.run(job.id)
    table = list(csv.DictReader(io.StringIO(platform.tuning_jobs.metrics(job.id))))
    assert [row["step"] for row in table] == ["1", "2", "3", "4", "5", "6"]
    assert [float(row["train_loss"]) for row in table] == [1 / step for step in range(1, 7)]
    assert [row["valid_loss"] for row in table] == ["", "", "", "", "", "0.5"]
    assert table[-1]["valid_mean_token_accuracy"] == "0.8"


def test_a_job_that_has_not_run_has_the_columns_only(create, platform):
    header = "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n"
    assert platform.tuning_jobs.metrics(create().id) == header


def test_the_rate_is_recorded_as_a_number_however_it_was_given():
    given = TuningSpec(base="b", method="lora", name="n", hyperparameters=Hyperparameters(learning_rate_multiplier=2))
    plain = with_defaults(TuningSpec(base="b", method="lora", name="n")).hyperparameters.learning_rate
    recorded = with_defaults(given)
    assert recorded.hyperparameters.learning_rate == 2 * plain
    assert TuningSpec.model_validate_json(recorded.model_dump_json()) == recorded
