"""The least that httpx can do: the same transport as the worker's in a bare loop, fifty calls in the air.

Run as a process: ``python -m benchmarks.bare_loop URL CALLS``; prints milliseconds of processor time for each call.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import httpx
import uvloop

__all__ = ["main"]

IN_THE_AIR = 50
WARM_UP = 500


async def _send(url: str, calls: int) -> None:
    waiting = iter(range(calls))
    tls = httpx.create_ssl_context()
    one = httpx.Limits(max_connections=1, max_keepalive_connections=1)

    async def slot() -> None:
        async with httpx.AsyncClient(verify=tls, limits=one, headers={"api-key": "k"}) as client:
            for number in waiting:
                body = {"visitorId": f"visitor-{number}", "text": f"Order {number}: step 1", "agentId": "a"}
                answer = await client.post(f"{url}/conversations/pushedMessages", json=body)
                if not answer.json()["id"]:
                    raise SystemExit("the stand-in gave no id")

    await asyncio.gather(*(slot() for _ in range(IN_THE_AIR)))


async def _measure(url: str, calls: int) -> float:
    await _send(url, WARM_UP)
    before = time.process_time()
    await _send(url, calls)
    return (time.process_time() - before) / calls * 1e3


def main() -> None:
    """Measure, and print it."""
    print(json.dumps(uvloop.run(_measure(sys.argv[1], int(sys.argv[2])))))


if __name__ == "__main__":
    main()
