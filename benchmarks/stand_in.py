"""A stand-in for the Conversations API that costs next to nothing: bare HTTP/1.1 over asyncio, texts in a dict.

It knows pushed messages only, takes any key, and is not a product: the sandbox is. ``GET /figures`` tells what it
served, ``GET /served`` only how many. Started as a process of its own, ``python -m benchmarks.stand_in LATENCY_MS
[LIMIT SECONDS]``; its first line on standard output is its port.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

__all__ = ["StandIn", "main"]

_REASONS = {200: "OK", 201: "Created", 204: "No Content", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(slots=True)
class Window:
    """At most ``limit`` calls in each ``seconds``, as the API counts them: by fixed windows."""

    limit: int
    seconds: float
    began: float = 0.0
    used: int = 0

    def take(self, now: float) -> tuple[bool, dict[str, int]]:
        """Count one call; whether it may pass, and what the headers say."""
        if now >= self.began + self.seconds:
            self.began, self.used = now, 0
        passes = self.used < self.limit
        self.used += passes
        reset = max(1, round(self.began + self.seconds - now))
        return passes, {
            "x-sib-ratelimit-limit": self.limit,
            "x-sib-ratelimit-remaining": self.limit - self.used,
            "x-sib-ratelimit-reset": reset,
        }


@dataclass(slots=True)
class StandIn:
    """What is shown, and what was asked."""

    latency: float
    window: Window | None = None
    texts: dict[str, tuple[str, str]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    first_at: float = 0.0
    last_at: float = 0.0

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, int], object]:
        """Carry one request out: status, headers, document."""
        now = time.monotonic()
        if path == "/figures":
            return 200, {}, self.figures()
        if path == "/served":
            return 200, {}, sum(self.calls.values())
        self.first_at, self.last_at = self.first_at or now, now
        headers: dict[str, int] = {}
        if self.window:
            passes, headers = self.window.take(now)
            if not passes:
                self.calls["429"] += 1
                return 429, headers, {"code": "too_many_requests", "message": "rate limit"}
        self.calls[method] += 1
        return self._carry_out(method, path.rpartition("/")[2], body, headers)

    def _carry_out(
        self, method: str, message_id: str, body: bytes, headers: dict[str, int]
    ) -> tuple[int, dict[str, int], object]:
        if method == "POST":
            asked = json.loads(body)
            made = f"{len(self.texts):08x}aBcDeFgHi"
            self.texts[made] = (asked["visitorId"], asked["text"])
            return 201, headers, self._document(made)
        if message_id not in self.texts:
            return 404, headers, {"code": "not_found", "message": "no such message"}
        if method == "DELETE":
            del self.texts[message_id]
            return 204, headers, None
        if method == "PUT":
            self.texts[message_id] = (self.texts[message_id][0], json.loads(body)["text"])
        return 200, headers, self._document(message_id)

    def _document(self, message_id: str) -> dict[str, object]:
        visitor, text = self.texts[message_id]
        return {
            "id": message_id,
            "type": "agent",
            "text": text,
            "visitorId": visitor,
            "agentId": "d9nKoegKSjmCtyK78",
            "agentName": "Liz",
            "createdAt": 1470222622433,
            "isPushed": True,
        }

    def figures(self) -> dict[str, object]:
        """Calls by method, the seconds from the first to the last, and every text that is shown, by visitor."""
        shown: dict[str, list[str]] = {}
        for visitor, text in self.texts.values():
            shown.setdefault(visitor, []).append(text)
        return {"calls": dict(self.calls), "seconds": self.last_at - self.first_at, "shown": shown}


class _Connection(asyncio.Protocol):
    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not derive from it

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, rest = self._buffer[:end], self._buffer[end + 4 :]
            length = _content_length(head)
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            reply = _render(*self._stand_in.answer(method, path, rest[:length]))
            if self._stand_in.latency:
                asyncio.get_running_loop().call_later(self._stand_in.latency, self._transport.write, reply)
            else:
                self._transport.write(reply)


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def _render(status: int, headers: dict[str, int], document: object) -> bytes:
    body = b"" if document is None else json.dumps(document).encode()
    lines = [f"HTTP/1.1 {status} {_REASONS[status]}", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if status != 204:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "\r\n"]).encode() + body


async def _serve(stand_in: StandIn) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(stand_in), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve until the process is ended."""
    latency, *window = (float(argument) for argument in sys.argv[1:])
    stand_in = StandIn(latency / 1000, Window(int(window[0]), window[1]) if window else None)
    if sys.platform != "win32":
        import uvloop

        uvloop.run(_serve(stand_in))
    else:
        asyncio.run(_serve(stand_in))


if __name__ == "__main__":
    main()
