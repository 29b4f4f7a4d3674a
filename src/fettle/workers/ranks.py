"""A worker in several processes: torchrun's launcher starts `python -m MODULE SPEC.json FOLDER` once for each rank.

The launcher's process is the worker that a cluster knows. It ends with one error when any rank ends badly; and when it
is gone, so are the ranks, though each of them leads a session of its own.
"""

import json
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousParameters, rendezvous_handler_registry
from torch.distributed.elastic.rendezvous.static_tcp_rendezvous import StaticTCPRendezvous
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from fettle.clusters.frames import error_from
from fettle.errors import FettleError, WorkerDied

_LOOPBACK, _RENDEZVOUS = "127.0.0.1", "loopback"
_GRACE_SECONDS = 5
#: What is larger gets pages of its own from glibc.
_OWN_PAGES_BYTES = "65536"
_JOIN_SECONDS = 600


def run_ranks(module: str, spec: str, count: int, *, frees_at_once: bool = False) -> FettleError | None:
    """Run a module in `count` processes to their end; the error of the first that ended badly, if any has.

    Args:
        module: what to run.
        spec: path of what it is told.
        count: processes.
        frees_at_once: memory that is let go is the system's again, which takes time; else holes in it may stay.
    """
    os.environ.update(GLOO_SOCKET_IFNAME=_loopback_interface())
    if frees_at_once:
        os.environ.update(MALLOC_MMAP_THRESHOLD_=_OWN_PAGES_BYTES)
    try:
        with tempfile.TemporaryDirectory() as folder, _lifeline():
            return _ended(count, folder, "-P", "-m", module, spec, folder)
    except SignalException as error:
        # The ranks have ended; this process ends as one that was not a launcher.
        signal.signal(error.sigval, signal.SIG_DFL)
        signal.raise_signal(error.sigval)
        raise


def _ended(count: int, folder: str, *arguments: str) -> FettleError | None:
    try:
        elastic_launch(_config(count, folder), sys.executable)(*arguments)
    except ChildFailedError as error:
        return cause(Path(folder), error.failures, count)
    return None


def tell_launcher(folder: Path, rank: int, error: Mapping[str, Any]) -> None:
    """In a rank that ends with an error: have the launcher tell it."""
    (folder / f"error-{rank:04}.json").write_text(json.dumps(error), encoding="utf-8")


def end_with_launcher() -> None:
    """In a rank: end at once when the launcher is gone, however it went."""
    threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    os.read(0, 1)
    os._exit(1)


def leave(code: int) -> NoReturn:
    """In a rank that is done: end at once.

    Python's own end takes its threads away under torch's, which now and then abort the process for it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def _lifeline() -> Iterator[None]:
    """The children's standard input, which comes to its end when this process does."""
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    os.close(reading)
    try:
        yield
    finally:
        os.close(writing)


def _config(count: int, folder: str) -> LaunchConfig:
    rendezvous_handler_registry.register(_RENDEZVOUS, _Loopback)
    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id="fettle",
        rdzv_backend=_RENDEZVOUS,
        local_addr=_LOOPBACK,
        max_restarts=0,
        shutdown_timeout=_GRACE_SECONDS,
        logs_specs=DefaultLogsSpecs(log_dir=folder),
    )


class _Loopback(StaticTCPRendezvous):
    """One machine's ranks, which meet at an address that no other machine reaches; torch's own listen on all."""

    def __init__(self, parameters: RendezvousParameters) -> None:
        listening = socket.create_server((_LOOPBACK, 0))
        port = listening.getsockname()[1]
        super().__init__(_LOOPBACK, port, 0, 1, parameters.run_id, _JOIN_SECONDS)
        self._store = TCPStore(
            _LOOPBACK,
            port,
            is_master=True,
            wait_for_workers=False,
            multi_tenant=True,
            master_listen_fd=listening.detach(),
        )

    def get_backend(self) -> str:
        """Its name in torch's table."""
        return _RENDEZVOUS


def _loopback_interface() -> str:
    return next(name for _, name in socket.if_nameindex() if name.startswith("lo"))


def cause(folder: Path, failures: Mapping[int, ProcessFailure], count: int) -> FettleError:
    """What a rank has told in `folder`; else how that one ended whose end made the others fail."""
    for path in sorted(folder.glob("error-*.json")):
        return error_from(json.loads(path.read_text(encoding="utf-8")))
    rank, failure = min(failures.items(), key=_order)
    how = f"was killed by {failure.signal_name()}" if failure.exitcode < 0 else f"had exit code {failure.exitcode}"
    killed = "Somebody killed it, or the machine ran out of memory. " if failure.exitcode == -signal.SIGKILL else ""
    return WorkerDied(f"process {rank} of {count} (counted from 0) {how}", hint=f"{killed}The job's log says more.")


def _order(item: tuple[int, ProcessFailure]) -> tuple[bool, bool, int]:
    """Causes first: others fail because one is gone, and are then ended with TERM by the launcher."""
    rank, failure = item
    return failure.exitcode == -signal.SIGTERM, failure.exitcode >= 0, rank
