"""Load an app steadily while it is deployed again and its replicas are killed, and count what failed and when.

Requests are sent at their times, whether earlier ones are answered or not, so that a stall is seen as one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import aiohttp

import flyte_ray as flyte
from benchmarks import web
from benchmarks.measuring import Row

AFTER_KILL_S: Final = 2.0
"""How long after a kill requests may fail."""
CONNECTIONS: Final = 16
PEAK_S: Final = 10.0
"""How long the peak rate is measured."""
LIMIT_S: Final = 60.0
"""How long one answer may take."""
DRAIN_S: Final = 30.0
"""How long after a deployment a failed request is put down to it."""


@dataclass
class Seen:
    """What became of the requests; times are seconds of the monotonic clock."""

    sent: int = 0
    latencies: list[float] = field(default_factory=list)
    failures: list[tuple[float, str]] = field(default_factory=list)
    pids: dict[int, float] = field(default_factory=dict)
    """When each replica has answered last."""


class Load:
    """Asks an URL at a steady rate on a thread of its own."""

    def __init__(self, url: str, rate: float) -> None:
        """Ask `rate` times per second."""
        self._url, self._rate = url, rate
        self._ends = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send()))
        self.seen = Seen()

    def __enter__(self) -> Seen:
        """Begin."""
        self._thread.start()
        return self.seen

    def __exit__(self, *_: object) -> None:
        """Send no more, and wait for what is under way."""
        self._ends.set()
        self._thread.join()

    async def _send(self) -> None:
        timeout = aiohttp.ClientTimeout(total=LIMIT_S)
        connector = aiohttp.TCPConnector(limit=0)
        asked: set[asyncio.Task[None]] = set()
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            due = time.monotonic()
            while not self._ends.is_set():
                due += 1 / self._rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                asked.add(task := asyncio.ensure_future(self._ask(session)))
                task.add_done_callback(asked.discard)
                self.seen.sent += 1
            await asyncio.gather(*asked)

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        begin = time.monotonic()
        try:
            async with session.get(self._url) as answer:
                text = await answer.text()
                if answer.status == 200:
                    self.seen.pids[int(text)] = time.monotonic()
                    self.seen.latencies.append(time.monotonic() - begin)
                    return
                reason = f"{answer.status} {text[:200]}"
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            reason = f"{type(error).__name__}: {error}"
        self.seen.failures.append((time.monotonic(), reason))


async def peak(url: str) -> float:
    """Measure how many requests per second this client gets answered at most, by as many as there are connections."""
    ends = time.monotonic() + PEAK_S

    async def ask(session: aiohttp.ClientSession) -> int:
        count = 0
        while time.monotonic() < ends:
            async with session.get(url) as answer:
                await answer.read()
            count += 1
        return count

    async with aiohttp.ClientSession() as session:
        return sum(await asyncio.gather(*(ask(session) for _ in range(CONNECTIONS)))) / PEAK_S


def soak(minutes: float) -> Iterator[Row]:
    """Load the app for so long at half its peak rate, with a kill, a deployment and another kill.

    Args:
        minutes: How long.

    Yields:
        A row of what was sent, and one of failures by what they are put down to.

    """
    url = flyte.serve(web.steady).endpoint
    rate = asyncio.run(peak(url)) / 2
    kills: list[float] = []
    with Load(url, rate) as seen:
        begin = time.monotonic()
        _wait_until(begin + minutes * 15)
        kills.append(_kill_one(seen))
        _wait_until(begin + minutes * 30)
        deployed = time.monotonic()
        flyte.with_servecontext(env_vars={"REVISION": "2"}).serve(web.steady)
        took = time.monotonic() - deployed
        _wait_until(begin + minutes * 45)
        kills.append(_kill_one(seen))
        _wait_until(begin + minutes * 60)
    yield from _rows(seen, rate, minutes, kills, (deployed, deployed + took + DRAIN_S))


def _rows(
    seen: Seen, rate: float, minutes: float, kills: list[float], deployment: tuple[float, float]
) -> Iterator[Row]:
    latencies = sorted(seen.latencies)
    of_kill = [each for each in seen.failures if any(kill <= each[0] <= kill + AFTER_KILL_S for kill in kills)]
    rest = [each for each in seen.failures if each not in of_kill]
    of_deployment = [each for each in rest if deployment[0] <= each[0] <= deployment[1]]
    for at, reason in rest:
        print(f"{at - kills[0]:+.2f} s from the first kill: {reason}", file=sys.stderr)
    p50, p99 = (latencies[int(len(latencies) * part)] * 1000 for part in (0.5, 0.99))
    shown, load = f"{p50:.1f} / {p99:.1f} ms", f"{rate:,.0f}/s, {seen.sent:,} sent"
    yield Row(f"{minutes:g} min at half the peak rate, p50 / p99", flyte=load, wall=shown)
    yield Row(f"failed within {AFTER_KILL_S:g} s of two kills", flyte=str(len(of_kill)))
    yield Row("failed by a deployment", flyte=str(len(of_deployment)), target="0")
    yield Row("failed at other times", flyte=str(len(rest) - len(of_deployment)), target="0")


def _kill_one(seen: Seen) -> float:
    """Kill the replica that has answered last; return when."""
    pid = max(seen.pids, key=lambda each: seen.pids[each])
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()


def _wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
