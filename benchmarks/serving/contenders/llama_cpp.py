"""llama.cpp's server: as many clients as a round has prompts."""

import atexit
import json
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from gguf_files import write_adapter, write_model
from rounds import serve

MAX_CLIENTS, MAX_LENGTH = 32, 512
START_SECONDS = 120


class LlamaCpp:
    """A server with the base model and its adapters, as GGUF files."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        model = write_model(Path(job["base"]), Path(self._folder.name) / "base.gguf", job["dtype"])
        adapters = [
            write_adapter(Path(job["base"]), Path(folder), Path(self._folder.name) / f"{name}.gguf", job["dtype"])
            for name, folder in job["adapters"].items()
        ]
        self._ids = {name: number for number, name in enumerate(job["adapters"])}
        self._port = _free_port()
        self._start(job, model, adapters)
        self._pool = ThreadPoolExecutor(MAX_CLIENTS)

    def answers(self, prompts: list[list[int]], num_new: int, adapters: list[str] | None) -> list[list[int]]:
        """The new tokens of each prompt."""
        named = adapters or [None] * len(prompts)
        return list(self._pool.map(lambda asked: self._answer(*asked, num_new), zip(prompts, named, strict=True)))

    def facts(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def _answer(self, prompt: list[int], adapter: str | None, num_new: int) -> list[int]:
        asked = {"prompt": prompt, "n_predict": num_new, "temperature": 0, "samplers": ["temperature"]}
        asked |= {"ignore_eos": True, "cache_prompt": False, "return_tokens": True}
        asked["lora"] = [] if adapter is None else [{"id": self._ids[adapter], "scale": 1.0}]
        told = self._ask("POST", "/completion", json.dumps(asked))
        tokens: list[int] = json.loads(told)["tokens"]
        return tokens

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        http = HTTPConnection("127.0.0.1", self._port, timeout=600)
        http.request(method, path, body, {"content-type": "application/json"})
        answer = http.getresponse()
        told = answer.read()
        http.close()
        if answer.status != 200:
            raise ConnectionError(f"{path}: {answer.status} {told[:300]!r}")
        return told

    def _start(self, job: dict[str, Any], model: Path, adapters: list[Path]) -> None:
        threads = str(job["threads"])
        command = [
            job["settings"]["server"],
            "-m",
            str(model),
            "--port",
            str(self._port),
            "-t",
            threads,
            "-tb",
            threads,
        ]
        # No cache of prompts: every prompt is new.
        command += ["-np", str(MAX_CLIENTS), "-c", str(MAX_CLIENTS * MAX_LENGTH), "--cache-ram", "0"]
        if adapters:
            command += ["--lora", ",".join(map(str, adapters)), "--lora-init-without-apply"]
        self._server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        atexit.register(self._server.kill)
        self._wait()

    def _wait(self) -> None:
        until = monotonic() + START_SECONDS
        while self._server.poll() is None and monotonic() < until:
            try:
                self._ask("GET", "/health")
                return
            except OSError:
                sleep(0.1)
        raise RuntimeError("llama-server did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    serve(LlamaCpp)
