"""Is anything lost or doubled when the platform's processes are killed at random moments, under load?

Clients ask, tune, upload, and change endpoints and clusters, while the control plane, tuners and engines get SIGKILL.
At the end everything settles, and what the clients were told is held against what is there.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import openai

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import write_result
from load import BASE, Clients, Ledger, resume, unfinished_batches
from verdict import faults, faults_of_backup
from victims import ENGINE, KEY, TUNER, Server, kill_one, workers

from fettle.services.backup import back_up
from fettle.settings import Settings
from fettle.testing.installation import tiny_installation

HERE = Path(__file__).parent
#: What is killed at the same moment -> how often, among the others.
TARGETS = {("server",): 4, (TUNER,): 4, (ENGINE,): 3, ("server", TUNER): 2, ("server", ENGINE): 1, (TUNER, ENGINE): 1}


def main() -> None:
    """Kill, settle, judge; exit 1 when something is wrong."""
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="fettle-faults-") as folder:
        home = tiny_installation(Path(folder).resolve() / "home")
        ledger, began = Ledger(), time.monotonic()
        with Server(home, BASE) as server:
            kills = _kill_under_load(asked, server, ledger)
            _settle(server, ledger, asked.settle_seconds)
            exit_code = server.stop()
        found = faults(home, ledger) | {
            "the server ends when asked": [f"exit code {exit_code}"] if exit_code else [],
            "a backup that was made under load is a whole installation": faults_of_backup(_backup_of(home)),
        }
    is_fine = not any(found.values())
    measured = {"kills": dict(kills), "num_kills": asked.kills, "starts": server.num_starts, "seed": asked.seed}
    _show(measured, ledger, found)
    _write(measured | {"minutes": round((time.monotonic() - began) / 60, 1), "is_fine": is_fine}, ledger, found)
    sys.exit(not is_fine)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--gap", type=float, default=6, help="seconds between two kills, at most")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--settle-seconds", type=float, default=1200, help="until all jobs and batches must have ended")
    return parser.parse_args()


def _kill_under_load(asked: argparse.Namespace, server: Server, ledger: Ledger) -> Counter[str]:
    draw, kills = random.Random(asked.seed), Counter[str]()
    server.start()
    server.wait_until_ready()
    clients = Clients(server.url, ledger, asked.seed)
    clients.start()
    try:
        for number in range(asked.kills):
            time.sleep(draw.uniform(0, asked.gap))  # nothing is waited for: any moment must do
            (targets,) = draw.choices(list(TARGETS), list(TARGETS.values()))
            killed = _kill(targets, server, ledger, draw)
            kills[killed] += 1
            print(f"{number + 1:4} {time.strftime('%X')} {killed}", flush=True)
        back_up(Settings(home=server.home), _backup_of(server.home))
    finally:
        clients.stop()
    return kills


def _backup_of(home: Path) -> Path:
    """Where the backup of a home is written."""
    return home.with_suffix(".tar")


def _kill(targets: tuple[str, ...], server: Server, ledger: Ledger, draw: random.Random) -> str:
    """Kill these at once; the server instead, if none of the workers runs just now. What was killed."""
    is_hit = [kill_one(workers(server.home, target)) for target in targets if target != "server"]
    if "server" not in targets and any(is_hit):
        return " + ".join(target.rpartition(".")[2] for target in targets)
    server.kill()
    server.start()
    if draw.random() < 0.8:  # else the next kill may hit the start
        server.wait_until_ready()
        if draw.random() < 0.6:  # else it may hit the engine that is being loaded
            _wait_for_an_answer(ledger)
    return " + ".join(["server", *(name.rpartition(".")[2] for name in targets if name != "server" and any(is_hit))])


def _wait_for_an_answer(ledger: Ledger) -> None:
    """Return once a client has been answered by a model, or after a minute."""
    before, deadline = ledger.outcomes["ask: done"], time.monotonic() + 60
    while ledger.outcomes["ask: done"] == before and time.monotonic() < deadline:
        time.sleep(0.1)


def _settle(server: Server, ledger: Ledger, seconds: float) -> None:
    """Have everything end that was begun."""
    deadline = time.monotonic() + seconds
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=20, timeout=seconds) as client:
        while (left := [*resume(client, ledger), *unfinished_batches(client)]) and time.monotonic() < deadline:
            time.sleep(1)
    if left:
        ledger.unexpected.append(f"not ended after {seconds:.0f} s: {', '.join(left)}")


def _show(measured: dict[str, Any], ledger: Ledger, found: dict[str, list[str]]) -> None:
    print(f"\n{measured}\n{dict(sorted(ledger.outcomes.items()))}\n")
    for claim, wrong in found.items():
        print(f"{'holds' if not wrong else 'FAILS':6} {claim}", *wrong[:10], sep="\n       ")


def _write(measured: dict[str, Any], ledger: Ledger, found: dict[str, list[str]]) -> None:
    kinds = ("files", "jobs", "uploads", "batches", "endpoints", "clusters")
    acknowledged = {kind: len(getattr(ledger, kind)) for kind in kinds}
    told = {"outcomes": dict(ledger.outcomes), "acknowledged": acknowledged, "claims": found}
    write_result(HERE / "results", "faults", measured | told)


if __name__ == "__main__":
    main()
