"""Whether memory grows, and whether all that was lent is given back."""

import asyncio
import statistics
import time
from dataclasses import dataclass, field

from server import Server, gauges

#: What a process may grow in the last half, for the noise of an allocator: this share, or as many bytes.
MAX_GROWTH, MIN_GROWTH_BYTES = 0.02, 4 << 20
SETTLE_SECONDS = 120.0


@dataclass
class Memory:
    """Bytes of each process over time.

    Attributes:
        samples: by pid, (second, bytes).
    """

    server: Server
    samples: dict[int, list[tuple[float, int]]] = field(default_factory=dict)

    async def watch(self, until: float, every_seconds: float) -> None:
        """Take a sample of all processes every so many seconds, until a moment."""
        while time.monotonic() < until:
            for pid, size in self.server.memory().items():
                self.samples.setdefault(pid, []).append((time.monotonic(), size))
            await asyncio.sleep(every_seconds)

    def growth(self, since: float, until: float) -> list[dict[str, float]]:
        """Of each process that lived through all of this time: its size, and what it grew by, as a straight line."""
        rows = []
        for pid, samples in self.samples.items():
            late = [(moment, size) for moment, size in samples if moment >= since]
            lived_through = samples[0][0] <= since and late and late[-1][0] >= until - 0.1 * (until - since)
            if lived_through and len(late) > 2:
                slope = statistics.linear_regression(*zip(*late, strict=True)).slope
                size, grown = statistics.mean(size for _, size in late), slope * (until - since)
                is_flat = grown <= max(MAX_GROWTH * size, MIN_GROWTH_BYTES)
                rows.append({"pid": pid, "bytes": size, "growth_bytes": grown, "is_flat": is_flat})
        return rows


async def leftovers(server: Server) -> list[str]:
    """What is still held a while after the last request; nothing, if all is as it should be."""
    deadline = time.monotonic() + SETTLE_SECONDS
    async with server.http() as http:
        while True:
            faults = _held((await http.get("/metrics")).text)
            if not faults or time.monotonic() > deadline:
                return faults
            await asyncio.sleep(0.5)


def _held(page: str) -> list[str]:
    faults = []
    for engine, told in gauges(page).items():
        wanted = {"running": 0, "waiting": 0, "adapters_in_use": 0, "blocks_free": told.get("blocks")}
        wanted = wanted if engine else {"fettle_requests_running": 0}
        faults += [
            f"{engine or 'the server'}: {what} is {told[what]:.0f}, not {value}"
            for what, value in wanted.items()
            if told[what] != value
        ]
    return faults
