"""The Celery app: ``celery -A pushledger_worker.app worker`` or ``pushledger worker``."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from multiprocessing.sharedctypes import RawValue
from typing import Any

from celery import Celery, Task
from celery.signals import (
    after_setup_logger,
    after_setup_task_logger,
    celeryd_init,
    task_unknown,
    worker_init,
    worker_shutting_down,
)
from celery.worker.consumer import consumer as celery_consumer
from pushledger.broker import DELIVER, INTAKE_TASKS, UNPARK, broker_settings
from pushledger.broker_address import BrokerAddress
from pushledger.broker_refusals import refusal
from pushledger.errors import InvalidJob, LedgerUnavailable, SettingsError
from pushledger.ledger import Ledger
from pushledger.settings import Settings
from pushledger.wakeup import WakeUps

from pushledger_worker.dead_letters import DeadLetters
from pushledger_worker.intake import Intake
from pushledger_worker.json_log import set_formatter, write_json
from pushledger_worker.last_words import stop_unheard
from pushledger_worker.process import current_process
from pushledger_worker.receivers import Hook
from pushledger_worker.settings import worker_settings
from pushledger_worker.tick import Tick

__all__ = ["app"]

log = logging.getLogger(__name__)


# Their formats have no types, and the first is the one whose first argument is the name of a task.
_QUOTING = tuple(
    getattr(celery_consumer, name)
    for name in ("UNKNOWN_TASK_ERROR", "UNKNOWN_FORMAT", "INVALID_TASK_ERROR", "MESSAGE_DECODE_ERROR")
)


class _WithoutBodies(logging.Filter):
    """Cuts what Celery says of a message that it cannot use: it quotes the body, with a job's text and visitor."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the first line, and of its arguments the name of the task."""
        if record.msg in _QUOTING and isinstance(record.args, tuple):
            name = record.args[0] if record.msg == _QUOTING[0] else "…"
            line = record.msg.partition("\n")[0].partition(" [type")[0]
            record.msg, record.args = line.replace("%r", "%s"), (name,) if "%" in line else ()
            record.exc_info = record.exc_text = None
        return True


logging.getLogger("celery.worker.consumer.consumer").addFilter(_WithoutBodies())
# At DEBUG this one would quote the arguments of every task.
logging.getLogger("celery.pool").setLevel(logging.INFO)

# Children of a prefork pool get no signal: they read this, made before the fork. It has no lock, because a child
# killed while it holds one would leave the parent hanging in its signal handler.
_stopping = RawValue(ctypes.c_bool, False)


def _is_stopping() -> bool:
    return bool(_stopping.value)


def _make_app() -> Celery:
    made = Celery("pushledger", set_as_current=False)
    address = BrokerAddress.from_url(Settings().broker_url)
    made.conf.update(broker_settings(address))
    made.conf.update(
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A full Redis refuses what kombu notes of a message it hands out, and that would end the worker. What RabbitMQ
        # refuses is a queue or a right, and stays so: a worker that ends says it louder than one that tries for ever.
        broker_channel_error_retry=address.kind != "rabbitmq",
        broker_transport_options=address.consuming(),
        # Only RabbitMQ has them: a host that went away without a word is noticed within two of them.
        broker_heartbeat=30,
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=True,
        # RabbitMQ lets go of queues that outlive their connection but not its own restart.
        control_queue_exclusive=address.kind == "rabbitmq",
    )
    made.steps["consumer"].add(Tick)
    if address.kind == "rabbitmq":
        made.steps["consumer"].add(DeadLetters)
    return made


app = _make_app()


@app.task(name=DELIVER, ignore_result=True)
def deliver(account: str) -> None:
    """Work a shift. The message is a hint, acknowledged early: what it would do is in the ledger."""
    if account != worker_settings().account:
        log.warning(
            "a wake-up for account %s came to a worker of %s",
            account,
            worker_settings().account,
            extra={"action": "other_account"},
        )
        return
    try:
        current_process(worker_settings()).work_a_shift(_is_stopping)
    except LedgerUnavailable as error:
        log.warning("delivery stops, the ledger is away: %s", error, extra={"action": "ledger_away"})


@functools.cache
def _intake() -> Intake:
    settings = worker_settings()
    ledger = Ledger.from_url(settings.redis_url, settings.account, settings.policy(), settings.redis_timeout)
    wake_ups = WakeUps(settings.broker_url)
    wake = functools.partial(wake_ups.publish, settings.account)
    return Intake(ledger, wake, _is_stopping, settings.wait_for_create)


def _add_intake_task(verb: str, name: str) -> None:
    class IntakeTask(Task):  # type: ignore[type-arg]
        def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            _keep(verb, task_id, kwargs, InvalidJob("kwargs", f"cannot be taken in: {type(exc).__name__}"))

    @app.task(base=IntakeTask, name=name, bind=True, ignore_result=True, acks_late=True, reject_on_worker_lost=True)
    def take(self: Task[..., None], /, *arguments: Any, **values: Any) -> None:
        _intake().take(verb, str(self.request.id), values, arguments)


for _verb, _name in INTAKE_TASKS.items():
    _add_intake_task(_verb, _name)


@app.task(name=UNPARK, ignore_result=True)
def unpark() -> None:
    """Try the parked jobs again; the tick sends this while there are some."""
    try:
        _intake().take_parked()
    except LedgerUnavailable as error:
        log.warning("parked jobs wait for the ledger: %s", error, extra={"action": "intake_waits"})


@task_unknown.connect(weak=False)
def _keep_unknown(name: str, id: str, **_: Any) -> None:
    if name.startswith("pushledger."):
        _keep(name.removeprefix("pushledger."), id, {}, InvalidJob("verb", "must be create, update, upsert or delete"))


def _keep(verb: str, task_id: str, values: dict[str, Any], error: InvalidJob) -> None:
    try:
        _intake().refuse(verb, task_id, values, error)
    except LedgerUnavailable as away:
        log.error("task %s (%s) is dropped: %s", task_id, error, away, extra={"action": "job_dropped"})


def _writes_json() -> bool:
    # The settings are checked, and their errors told, when the worker begins; Celery sets up its log before that.
    return os.environ.get("PUSHLEDGER_LOG_FORMAT") == "json"


@celeryd_init.connect(weak=False)
def _set_up_output(instance: Any, **_: Any) -> None:
    if _writes_json():
        write_json(instance)
    stop_unheard()


@after_setup_logger.connect(weak=False)
@after_setup_task_logger.connect(weak=False)
def _format_log(logger: logging.Logger, **_: Any) -> None:
    if _writes_json():
        set_formatter([logger])


@worker_init.connect(weak=False)
def _check(sender: Any, **_: Any) -> None:
    pool = str(getattr(sender, "pool_cls", ""))
    if "gevent" in pool or "eventlet" in pool:
        raise SystemExit("pushledger: the gevent and eventlet pools are not supported; use prefork, solo or threads")
    try:
        if hook := worker_settings().signal_hook:
            Hook.named(hook)
    except SettingsError as error:
        raise SystemExit(f"pushledger: {error}") from None
    _check_broker()


def _check_broker() -> None:
    """A broker that is away is waited for; one that refuses this user, or has other queues, will do so for ever."""
    address = BrokerAddress.from_url(worker_settings().broker_url)
    try:
        with app.connection_for_read(transport_options=address.publishing(), connect_timeout=2) as connection:
            connection.connect()
            if address.kind == "rabbitmq":
                for queue in app.amqp.queues.values():
                    queue.bind(connection.default_channel).declare()
    except Exception as error:  # whatever the transport raises; the worker itself connects again, with patience
        if remedy := refusal(error):
            raise SystemExit(f"pushledger: PUSHLEDGER_BROKER_URL: {remedy} ({error})") from None


@worker_shutting_down.connect(weak=False)
def _stop(**_: Any) -> None:
    _stopping.value = True
