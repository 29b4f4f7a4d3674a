"""`fettle up` as users start it, and waiting for what it does."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import openai

BASE, KEY = "tiny", "fettle-e2e-key"


@contextmanager
def serving(home):
    """`fettle up` in a process of its own, with a client."""
    environment = os.environ | {"FETTLE_HOME": str(home), "FETTLE_API_KEY": KEY, "FETTLE_THREADS": "1"}
    command = [sys.executable, "-m", "fettle", "up", "--port", "0", "--base", BASE, "--json"]
    log_path = home / "up.log"
    with (
        log_path.open("ab") as log,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        told = process.stdout.readline()
        assert told, log_path.read_text()
        try:
            with openai.OpenAI(base_url=json.loads(told)["base_url"], api_key=KEY, max_retries=0) as client:
                yield process, client
        finally:
            process.terminate()
            process.wait(120)


def until(condition, timeout_seconds=240):
    """What a condition finds, once it finds something."""
    deadline, pause = time.monotonic() + timeout_seconds, threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about in time"
        pause.wait(0.02)
    return found
