"""The sandbox's own JSON API under `/sandbox`: order faults, change settings, see what happened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, request_response

from brevo_sandbox.faults import Scripted, read_chance, read_scripted
from brevo_sandbox.rates import parse_rate
from brevo_sandbox.routes import REST, Below
from brevo_sandbox.state import Sandbox
from brevo_sandbox.webhooks import Receiver
from brevo_sandbox.wire import BadInputError, Fields, Json, dump, load

_READ = frozenset({"GET", "HEAD"})


def control_routes(sandbox: Sandbox) -> list[BaseRoute]:
    """List the routes over one sandbox."""
    control = _Control(sandbox)
    return [
        _route("/sandbox/health", control.health),
        _route("/sandbox/requests", control.requests),
        _route("/sandbox/visitors", control.visitors),
        Below("/sandbox/visitors/", request_response(control.visitor), _READ),
        _route("/sandbox/messages", control.messages),
        _route("/sandbox/say", control.say, "POST"),
        _route("/sandbox/finish", control.finish, "POST"),
        _route("/sandbox/agents", control.agents),
        _route("/sandbox/webhook", control.webhook),
        _route("/sandbox/webhook", control.set_webhook, "PUT"),
        _route("/sandbox/stats", control.stats),
        _route("/sandbox/faults", control.faults),
        _route("/sandbox/faults", control.set_chances, "PUT"),
        _route("/sandbox/faults", control.add_script, "POST"),
        _route("/sandbox/faults", control.clear_faults, "DELETE"),
        _route("/sandbox/faults/{id:int}", control.remove_script, "DELETE"),
        _route("/sandbox/rate", control.rate),
        _route("/sandbox/rate", control.set_rate, "PUT"),
        _route("/sandbox/rules", control.rules),
        _route("/sandbox/rules", control.set_rules, "PUT"),
        _route("/sandbox/keys", control.keys),
        _route("/sandbox/keys", control.set_keys, "PUT"),
        _route("/sandbox/reset", control.reset, "POST"),
    ]


def _route(path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str = "GET") -> Route:
    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except BadInputError as exc:
            return _json({"code": "bad_request", "message": str(exc)}, 400)

    return Route(path, answered, methods=[method])


def _json(document: Json, status: int = 200) -> Response:
    return Response(dump(document), status, {"cache-control": "no-store"}, "application/json")


class _Control:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def health(self, request: Request) -> Response:
        return _json({"status": "ok"})

    async def requests(self, request: Request) -> Response:
        journal = self._sandbox.journal
        entries = journal.since(_cursor(request.query_params.get("since", "0")))
        return _json({"requests": [entry.as_json() for entry in entries], "last": journal.last})

    async def visitors(self, request: Request) -> Response:
        return _json({"visitors": [visitor.as_json() for visitor in self._sandbox.store.visitors()]})

    async def visitor(self, request: Request) -> Response:
        visitor_id = str(request.path_params[REST])
        chat = self._sandbox.store.chat(visitor_id)
        return _json({"id": visitor_id, "messages": [message.as_seen() for message in chat]})

    async def messages(self, request: Request) -> Response:
        return _json({"messages": [message.as_stored() for message in self._sandbox.store.messages()]})

    async def say(self, request: Request) -> Response:
        fields = Fields(load(await request.body()), ("visitorId", "text"))
        message = self._sandbox.say(_given(fields, "visitorId"), _given(fields, "text"))
        return _json(message.as_stored(), 201)

    async def finish(self, request: Request) -> Response:
        visitor_id = _given(Fields(load(await request.body()), ("visitorId",)), "visitorId")
        if self._sandbox.finish_chat(visitor_id):
            return _json({"visitorId": visitor_id, "finished": True})
        return _json({"code": "document_not_found", "message": "this visitor has no conversation going on"}, 404)

    async def agents(self, request: Request) -> Response:
        now = self._sandbox.clock()
        return _json({"agents": [presence.as_json(now) for presence in self._sandbox.agents.presences()]})

    async def webhook(self, request: Request) -> Response:
        return _json(self._sandbox.webhooks.as_json())

    async def set_webhook(self, request: Request) -> Response:
        fields = Fields(load(await request.body()), ("url", "timeout_seconds"))
        if not fields.given("url"):
            raise BadInputError("url is missing")
        url, seconds = fields.text("url"), fields.number("timeout_seconds")
        self._sandbox.set_webhook(None if url is None else Receiver(url, 5.0 if seconds is None else seconds))
        return await self.webhook(request)

    async def stats(self, request: Request) -> Response:
        return _json(self._sandbox.journal.stats())

    async def faults(self, request: Request) -> Response:
        return _json(self._sandbox.faults.as_json())

    async def set_chances(self, request: Request) -> Response:
        fields = Fields(load(await request.body()), ("rates", "seed"))
        chances = [read_chance(item) for item in fields.items("rates")]
        seed = fields.whole("seed")
        self._sandbox.faults.set_chances(chances)
        if seed is not None:
            self._sandbox.faults.seed(seed)
        return await self.faults(request)

    async def add_script(self, request: Request) -> Response:
        document = load(await request.body())
        # All are read before the first is added, so that a mistake in one leaves the script as it was.
        if isinstance(document, list):
            entries = [read_scripted(item) for item in document]
            return _json({"script": [self._add(entry) for entry in entries]}, 201)
        return _json(self._add(read_scripted(document)), 201)

    def _add(self, entry: Scripted) -> Json:
        return self._sandbox.faults.add(entry).as_json()

    async def clear_faults(self, request: Request) -> Response:
        self._sandbox.faults.clear()
        return await self.faults(request)

    async def remove_script(self, request: Request) -> Response:
        if self._sandbox.faults.remove(int(request.path_params["id"])):
            return await self.faults(request)
        return _json({"code": "document_not_found", "message": "no such fault in the script"}, 404)

    async def rate(self, request: Request) -> Response:
        rate, quota = self._sandbox.rate, self._sandbox.quota()
        return _json(
            {
                "rate": "off" if rate is None else str(rate),
                "remaining": None if quota is None else quota.remaining,
                "reset": None if quota is None else quota.reset,
            }
        )

    async def set_rate(self, request: Request) -> Response:
        written = Fields(load(await request.body()), ("rate",)).text("rate")
        if written is None:
            raise BadInputError("rate is missing")
        self._sandbox.set_rate(parse_rate(written))
        return await self.rate(request)

    async def rules(self, request: Request) -> Response:
        return _json(self._sandbox.rules.as_json())

    async def set_rules(self, request: Request) -> Response:
        self._sandbox.set_rules(self._sandbox.rules.changed(load(await request.body())))
        return await self.rules(request)

    async def keys(self, request: Request) -> Response:
        keys = self._sandbox.keys
        return _json({"any": keys is None, "count": 0 if keys is None else len(keys)})

    async def set_keys(self, request: Request) -> Response:
        fields = Fields(load(await request.body()), ("keys",))
        if not fields.given("keys"):
            raise BadInputError("keys is missing")
        self._sandbox.set_keys(fields.texts("keys"))
        return await self.keys(request)

    async def reset(self, request: Request) -> Response:
        self._sandbox.reset()
        return await self.health(request)


def _given(fields: Fields, name: str) -> str:
    value = fields.text(name)
    if not value:
        raise BadInputError(f"{name} is missing")
    return value


def _cursor(written: str) -> int:
    if not (written.isascii() and written.isdigit() and len(written) <= 18):
        raise BadInputError("since: expected the number of a request")
    return int(written)
