"""The Celery app: ``celery -A pushledger_worker.app worker`` or ``pushledger worker``."""

from __future__ import annotations

import ctypes
import functools
import logging
from multiprocessing.sharedctypes import RawValue
from typing import Any

from celery import Celery, Task
from celery.signals import worker_init, worker_process_shutdown, worker_shutting_down
from pushledger.broker import DELIVER, INTAKE_TASKS, UNPARK, broker_settings
from pushledger.errors import LedgerUnavailable, SettingsError
from pushledger.ledger import Ledger
from pushledger.settings import Settings
from pushledger.wakeup import WakeUps

from pushledger_worker.intake import Intake
from pushledger_worker.process import current_process
from pushledger_worker.settings import worker_settings
from pushledger_worker.tick import Tick

__all__ = ["app"]

log = logging.getLogger(__name__)

# Children of a prefork pool get no signal: they read this, made before the fork. It has no lock, because a child
# killed while it holds one would leave the parent hanging in its signal handler.
_stopping = RawValue(ctypes.c_bool, False)


def _is_stopping() -> bool:
    return bool(_stopping.value)


def _make_app() -> Celery:
    made = Celery("pushledger", set_as_current=False)
    broker_url = Settings().broker_url
    made.conf.update(broker_settings(broker_url))
    made.conf.update(
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # No task waits longer than the intake does for a ledger that is away; a copy that comes back records nothing.
        broker_transport_options={
            "visibility_timeout": 300,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_timeout": 10,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "health_check_interval": 25,
        }
        if broker_url.startswith("redis")
        else {},
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=True,
    )
    made.steps["consumer"].add(Tick)
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
    return Intake(ledger, functools.partial(wake_ups.publish, settings.account), _is_stopping)


def _add_intake_task(verb: str, name: str) -> None:
    @app.task(name=name, bind=True, ignore_result=True, acks_late=True, reject_on_worker_lost=True)
    def take(self: Task[..., None], /, **values: Any) -> None:
        _intake().take(verb, str(self.request.id), values)


for _verb, _name in INTAKE_TASKS.items():
    _add_intake_task(_verb, _name)


@app.task(name=UNPARK, ignore_result=True)
def unpark() -> None:
    """Try the parked jobs again; the tick sends this while there are some."""
    try:
        _intake().take_parked()
    except LedgerUnavailable as error:
        log.warning("parked jobs wait for the ledger: %s", error, extra={"action": "intake_waits"})


@worker_init.connect(weak=False)
def _check(sender: Any, **_: Any) -> None:
    pool = str(getattr(sender, "pool_cls", ""))
    if "gevent" in pool or "eventlet" in pool:
        raise SystemExit("pushledger: the gevent and eventlet pools are not supported; use prefork, solo or threads")
    try:
        worker_settings()
    except SettingsError as error:
        raise SystemExit(f"pushledger: {error}") from None


@worker_shutting_down.connect(weak=False)
def _stop(**_: Any) -> None:
    _stopping.value = True


@worker_process_shutdown.connect(weak=False)
def _close(**_: Any) -> None:
    current_process(worker_settings()).close()
