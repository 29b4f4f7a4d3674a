"""The quickstart's outcome for people: a table, a few answers, and what to type next."""

from typing import Any

from fettle.cli.output import bytes_text, console, print_table, seconds_text
from fettle.cli.quickstart.steps import Exchange, ModelOutcome, Outcome

CUT = 160


def show(outcome: Outcome) -> None:
    """Print everything that was measured."""
    print_table(
        ["model", "exact match", "95 % interval", "tokens/s", "adapter", "trained", "tuning"],
        [_row(model) for model in outcome.models],
        title=f"Support requests -> JSON tickets: {outcome.train_rows:,} examples, {outcome.test_rows} held out",
    )
    _show_speeds(outcome)
    for example in outcome.examples:
        _show_example(example)
    _show_next(outcome)


def _row(model: ModelOutcome) -> list[Any]:
    score = model.exact_match
    return [
        model.model,
        f"{score.mean:.1%}",
        f"{score.low:.0%} - {score.high:.0%}",
        f"{model.tokens_per_second:,.0f}",
        bytes_text(model.size_bytes) if model.size_bytes else "",
        model.trained_parameters,
        seconds_text(model.tuning_seconds) if model.tuning_seconds else "",
    ]


def _show_speeds(outcome: Outcome) -> None:
    speeds = outcome.speeds
    equal, asked = sum(model.equal_over_http for model in outcome.models), outcome.test_rows * len(outcome.models)
    console().print(
        f"All {asked} answers were asked for again over HTTP in one batch: {equal} are equal to the letter.\n"
        f"One engine, all models at once: {speeds.mixed:,.0f} tokens/s in a batch that mixes them.\n"
        f"Switch cost (time per token in the mixed batch, against batches of one model): {speeds.switch_cost:+.1%}\n"
    )


def _show_example(example: Exchange) -> None:
    console().print("[bold]request[/]   ", end="")
    console().print(_one_line(example.prompt), markup=False)
    for name, text in {"expected": example.expected, **example.answers}.items():
        mark = "" if name == "expected" else ("  (right)" if text.strip() == example.expected.strip() else "  (wrong)")
        console().print(f"  {name:<14}{_one_line(text)}{mark}", markup=False)


def _one_line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= CUT else flat[: CUT - 3] + "..."


def _show_next(outcome: Outcome) -> None:
    tuned = outcome.models[1].model
    console().print(f"\nAll of it took {seconds_text(outcome.seconds)}. What to type next:\n")
    for command, meaning in {
        "fettle models list": "what there is now",
        f'fettle generate {tuned} "hi, my kettle (order AB-1234) leaks, please send a new one"': "",
        f"fettle eval {tuned} {outcome.test_path}": "all scores",
        "fettle data check FILE": "your own examples",
        "fettle tune FILE --name NAME": "your own model",
        "fettle up": "serve all of them to any OpenAI client",
    }.items():
        console().print(f"  {command:<32}  [dim]{meaning}[/]" if meaning else f"  {command}")
