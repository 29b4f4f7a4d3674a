"""`fettle bench serve`: load on an OpenAI-compatible server."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fettle.cli.bench.show import show
from fettle.cli.options import Json
from fettle.cli.output import console, plain, print_json
from fettle.errors import InvalidInput
from fettle.loadtest.plot import FORMATS, plotted
from fettle.loadtest.report import LoadReport
from fettle.loadtest.run import run_load_test
from fettle.loadtest.spec import LoadSpec
from fettle.loadtest.workload import read_prompts
from fettle.settings import api_key_from
from fettle.store.files import write_whole


def serve(
    model: Annotated[list[str], typer.Option(help="Model to ask; repeat for several, the most popular one first.")],
    url: Annotated[
        str, typer.Option(help="Address of the server, as OpenAI's clients call base_url.")
    ] = "http://127.0.0.1:8000/v1",
    api_key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable that holds the API key; else none is sent.")
    ] = None,
    popularity: Annotated[str, typer.Option(help="How often each model is asked: uniform or zipf:ALPHA.")] = "uniform",
    concurrency: Annotated[
        str | None,
        typer.Option(metavar="N,...", help="Closed loop: clients that wait for their answers.", show_default="8"),
    ] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="R,...", help="Open loop: requests per second, at random times.")
    ] = None,
    requests: Annotated[int | None, typer.Option(help="Requests at each load.", show_default="64")] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds in which requests are begun at each load.")] = None,
    prompt_length: Annotated[
        str | None,
        typer.Option(
            help="Words of the prompts: fixed:N, uniform:LOW,HIGH or lognormal:MEAN,SIGMA.", show_default="fixed:128"
        ),
    ] = None,
    output_length: Annotated[str, typer.Option(help="Most tokens of the answers, in the same forms.")] = "fixed:64",
    prompts: Annotated[
        Path | None, typer.Option(help="JSONL file with `prompt` or `messages` to ask, and perhaps `max_tokens`.")
    ] = None,
    ignore_eos: Annotated[
        bool, typer.Option("--ignore-eos", help="Ask for answers of full length (an extension of Fettle's and vLLM's).")
    ] = False,
    stream: Annotated[bool, typer.Option(help="Take the answers as streams; without, no times of tokens.")] = True,
    warmup: Annotated[
        int | None, typer.Option(help="Requests in front that are not measured.", show_default="one per model")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds after which an answer is given up.")] = 600,
    slo_ttft: Annotated[float | None, typer.Option(help="Objective: seconds to the first token.")] = None,
    slo_itl: Annotated[float | None, typer.Option(help="Objective: seconds per token after it, on average.")] = None,
    seed: Annotated[int, typer.Option(help="Of lengths, models, words and times.")] = 0,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write everything, each request too, to a file.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png|svg", help="Draw latencies and throughput.")] = None,
    as_json: Json = False,
) -> None:
    """Ask an OpenAI-compatible server many things at once, and measure its answers.

    For example: fettle bench serve --model a --model b --popularity zipf:1.1 --concurrency 1,8,32 --requests 200

    The exit code is 1 when no request was answered.
    """
    asked: dict[str, Any] = {
        "url": url,
        "models": model,
        "popularity": popularity,
        "concurrency": concurrency,
        "rate": rate,
        "requests": requests,
        "duration_seconds": duration,
        "prompt_length": prompt_length,
        "output_length": output_length,
        "prompts": prompts and str(prompts),
        "ignores_eos": ignore_eos,
        "streams": stream,
        "warmup": warmup,
        "timeout_seconds": timeout,
        "slo_ttft_seconds": slo_ttft,
        "slo_itl_seconds": slo_itl,
        "seed": seed,
    }
    spec = LoadSpec.checked({name: value for name, value in asked.items() if value is not None})
    form = _picture_form(plot)
    report = _watched(spec, api_key_from(api_key_env) if api_key_env else "")
    # Before files are written: what cannot be written shall not take what was measured with it.
    print_json(report.model_dump(mode="json", exclude=_REQUESTS)) if as_json else show(report)
    if output:
        write_whole(output, json.dumps(plain(report), indent=1).encode())
    if plot:
        write_whole(plot, plotted(report, form))
    raise typer.Exit(0 if report.has_answers else 1)


_REQUESTS: Any = {"results": {"__all__": {"requests"}}}


def _picture_form(path: Path | None) -> str:
    """The form of a picture by its file's name, before anything is measured."""
    form = path.suffix.removeprefix(".").lower() if path else ""
    if path and form not in FORMATS:
        raise InvalidInput(f"--plot {path}: expected a name that ends with .{' or .'.join(FORMATS)}", param="plot")
    return form


def _watched(spec: LoadSpec, key: str) -> LoadReport:
    """Run the test, with a count of what has ended on stderr."""
    prompts = read_prompts(Path(spec.prompts)) if spec.prompts else []
    counts: dict[str, int] = {}
    with console(errors=True).status("...") as status:

        def watch(load: str) -> None:
            counts[load] = counts.get(load, 0) + 1
            status.update(f"{load}: {counts[load]:,} requests have ended")

        return asyncio.run(run_load_test(spec, prompts, key=key, watch=watch))
