"""Load a server for a long time while everything around it changes; print a verdict and write a result file."""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from clients import Client, Findings
from common import write_result
from disturb import Operator, kill_engines
from home import Truth, make_home, truth
from names import Names
from server import Server, serving
from watch import Memory, leftovers

from fettle.testing.installation import BASE

HERE = Path(__file__).parent


def main() -> None:
    asked = _arguments()
    # So that it ends the server, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="fettle-soak-") as folder:
        home = Path(folder)
        make_home(home)
        known = truth()
        _check_models_differ(known)
        findings = Findings()
        with serving(home, BASE) as server:
            measured = asyncio.run(_soak(asked, server, known, findings))
        if server.process.returncode != 0:
            findings.fault(f"the server ended with exit code {server.process.returncode}")
    measured |= {"counts": dict(findings.counts), "faults": findings.faults, "holds": not findings.counts["faults"]}
    _show(measured)
    write_result(asked.results, "soak", {"settings": vars(asked) | {"results": str(asked.results)}} | measured)
    sys.exit(0 if measured["holds"] else 1)


async def _soak(asked: argparse.Namespace, server: Server, known: Truth, findings: Findings) -> dict[str, Any]:
    names, memory = Names(), Memory(server)
    async with server.http() as http:
        operator = Operator(http, names, findings, deadline_seconds=asked.deadline_seconds)
        await operator.prepare()
        began = time.monotonic()
        third, half, until = (began + 60 * asked.minutes * share for share in (1 / 3, 1 / 2, 1))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(asked.clients):
                client = Client(http, names, known, findings, deadline_seconds=asked.deadline_seconds)
                tasks.create_task(client.run(until, asked.pause_seconds))
            tasks.create_task(operator.run(until, asked.change_seconds))
            tasks.create_task(memory.watch(until, asked.sample_seconds))
            if asked.kill_seconds:
                # Not later: memory is measured of processes that have seen everything before the last half.
                times = {"until": third, "every_seconds": asked.kill_seconds}
                times |= {"deadline_seconds": asked.deadline_seconds}
                tasks.create_task(kill_engines(server, names, findings, **times))
        await operator.finish()
    for fault in await leftovers(server):
        findings.fault(fault)
    growth = memory.growth(half, until)
    for row in growth:
        if not row["is_flat"]:
            findings.fault(f"process {row['pid']} grew by {row['growth_bytes'] / 1e6:.1f} MB in the last half")
    if server.process.pid not in {row["pid"] for row in growth}:
        findings.fault("the server's memory was not measured: it is too short a time")
    return {"memory": growth, "samples": {str(pid): taken for pid, taken in memory.samples.items()}}


def _check_models_differ(known: Truth) -> None:
    """Else an answer of the wrong model would pass."""
    answers = list(known.values())
    for question in answers[0]:
        said = [of[question] for of in answers]
        if question.max_tokens >= 16 and len(set(said)) < len(said):
            raise SystemExit(f"two models say the same to {question}: {said}")


def _show(measured: dict[str, Any]) -> None:
    print()
    for what, count in sorted(measured["counts"].items()):
        print(f"{count:>8,}  {what}")
    for row in measured["memory"]:
        told = f"{row['bytes'] / 1e6:.0f} MB, {row['growth_bytes'] / 1e6:+.1f} MB in the last half"
        print(f"process {row['pid']:.0f}: {told}")
    print("\nholds" if measured["holds"] else "\nDOES NOT HOLD")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--pause-seconds", type=float, default=0.5, help="of each client, between two requests")
    parser.add_argument("--change-seconds", type=float, default=3, help="between two changes of labels or endpoints")
    parser.add_argument("--kill-seconds", type=float, default=60, help="between two killed engines; 0: none is")
    parser.add_argument("--deadline-seconds", type=float, default=180, help="what takes longer hangs")
    parser.add_argument("--sample-seconds", type=float, default=5, help="between two looks at memory")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
