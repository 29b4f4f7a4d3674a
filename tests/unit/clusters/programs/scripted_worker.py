"""A worker that does what its spec says, line by line."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path


def say(event: object) -> None:
    print(json.dumps(event), flush=True)


def child_that_ignores_term() -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); signal.pause()"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    say({"type": "child", "pid": child.pid})


for line in json.loads(Path(sys.argv[1]).read_text())["lines"]:
    verb, _, rest = line.partition(" ")
    if verb == "say":
        say(json.loads(rest))
    elif verb == "print":
        print(rest, flush=True)
    elif verb == "log":
        print(rest, file=sys.stderr)
    elif verb == "environment":
        say({"type": "environment", "value": os.environ.get(rest)})
    elif verb == "session":
        say({"type": "session", "leads": os.getsid(0) == os.getpid()})
    elif verb == "child":
        child_that_ignores_term()
    elif verb == "ignore-term":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif verb == "hold":
        say({"type": "holding"})
        signal.pause()
    elif verb == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif verb == "exit":
        sys.exit(int(rest))
