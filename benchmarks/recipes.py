"""The two ways in which such messages are usually sent: a Celery task around the official SDK, or around httpx.

Both are written as their manuals advise: late acknowledgement, retries with growing waits, a map of ids in Redis.
"""

from __future__ import annotations

import os
from functools import cache

import brevo_python
import httpx
import redis
from brevo_python.rest import ApiException
from celery import Celery, Task
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_exponential_jitter

__all__ = ["QUEUE", "app"]

QUEUE = "recipes"
AGENT = "d9nKoegKSjmCtyK78"

app = Celery("recipes", broker=os.environ.get("BENCHMARK_BROKER_URL", ""))
app.conf.update(
    task_default_queue=QUEUE,
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=4,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


@cache
def _ids() -> redis.Redis:
    return redis.Redis.from_url(os.environ["BENCHMARK_REDIS_URL"], decode_responses=True, max_connections=200)


def _remote_id(local_id: str) -> str | None:
    found = _ids().hget("ids", local_id)
    return found if isinstance(found, str) else None


@cache
def _sdk() -> brevo_python.ConversationsApi:
    configuration = brevo_python.Configuration()
    configuration.host = os.environ["BENCHMARK_API_URL"]
    configuration.api_key["api-key"] = "k"
    configuration.connection_pool_maxsize = 200
    return brevo_python.ConversationsApi(brevo_python.ApiClient(configuration))


@app.task(name="recipes.sdk", bind=True, max_retries=20)
def send_with_sdk(self: Task[..., None], verb: str, local_id: str, visitor_id: str, text: str) -> None:
    """Celery and the SDK: retried by Celery."""
    try:
        if verb == "create":
            body = {"visitorId": visitor_id, "text": text, "agentId": AGENT}
            answer = _sdk().conversations_pushed_messages_post(body)
            _ids().hset("ids", local_id, answer.id)
            return
        remote = _remote_id(local_id)
        if remote is None:
            raise self.retry(countdown=1)
        _sdk().conversations_pushed_messages_id_put({"text": text}, remote)
    except ApiException as error:
        if error.status != 429 and error.status < 500:
            raise
        raise self.retry(exc=error, countdown=min(2**self.request.retries, 30)) from error


@cache
def _client() -> httpx.Client:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    return httpx.Client(base_url=os.environ["BENCHMARK_API_URL"], headers={"api-key": "k"}, limits=limits, timeout=10)


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


@retry(retry=retry_if_exception(_is_passing), wait=wait_exponential_jitter(1, 30), stop=stop_after_attempt(8))
def _ask(method: str, path: str, body: dict[str, str]) -> str:
    answer = _client().request(method, path, json=body)
    answer.raise_for_status()
    return str(answer.json()["id"])


@app.task(name="recipes.httpx", bind=True, max_retries=20)
def send_with_httpx(self: Task[..., None], verb: str, local_id: str, visitor_id: str, text: str) -> None:
    """Celery, httpx and tenacity: retried inside the task."""
    if verb == "create":
        body = {"visitorId": visitor_id, "text": text, "agentId": AGENT}
        _ids().hset("ids", local_id, _ask("POST", "/conversations/pushedMessages", body))
        return
    remote = _remote_id(local_id)
    if remote is None:
        raise self.retry(countdown=1)
    _ask("PUT", f"/conversations/pushedMessages/{remote}", {"text": text})
