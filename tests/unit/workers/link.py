"""A worker's loop in a thread of its own, and a client at the other end of its link."""

import asyncio
import socket
import threading
from contextlib import asynccontextmanager, suppress

from fettle.clusters.engine_client import EngineClient
from fettle.clusters.link import LinkClosed, WorkerLink


@asynccontextmanager
async def serving(make):
    """The client of the worker that `make` makes for its end of the link."""
    ours, theirs = socket.socketpair()
    link = WorkerLink(theirs)
    worker = make(link)

    def loop():
        with suppress(LinkClosed):
            worker.run()
        link.close()

    thread = threading.Thread(target=loop)
    thread.start()
    link.ready()
    client = await EngineClient.connect(ours)
    try:
        yield client
    finally:
        await client.hang_up()
        await asyncio.to_thread(thread.join)
