"""Celery's configuration. Each choice has a measured reason: docs/decisions/0004-celery.md."""

from typing import Any

from kombu import Queue

from app.domain.work import CHECK_TASK, LANES, SWEEP_QUEUE, SWEEP_TASK, Lane, task_name
from app.settings import Settings


def configure(settings: Settings) -> dict[str, Any]:
    """The configuration for these settings."""
    return {
        "broker_url": settings.broker,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # the default gives up after 100
        "broker_transport_options": {
            # Without these a connection that died silently is never noticed.
            "socket_timeout": 10,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "health_check_interval": 10,
            # kombu's default, and leaned on: queues of one process take turns, so that no manifest stands behind a thousand
            # downloads, and no sweep behind as many verdicts.
            "queue_order_strategy": "round_robin",
        },
        # The ledger's claims and the sweep make up for a lost message; so messages are acknowledged before the work and none
        # is fetched ahead, which leaves nothing for Celery to deliver twice.
        "task_acks_late": False,
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_queues": [Queue(name) for name in [*(lane.queue for lane in Lane), SWEEP_QUEUE]],
        "task_default_queue": Lane.QUICK.queue,
        "task_create_missing_queues": False,
        "task_routes": {
            **{task_name(step): {"queue": lane.queue} for step, lane in LANES.items()},
            SWEEP_TASK: {"queue": SWEEP_QUEUE},
            CHECK_TASK: {"queue": SWEEP_QUEUE},
        },
        "task_publish_retry": False,
        # Flower watches events.
        "worker_send_task_events": True,
        "worker_hijack_root_logger": False,
        "beat_scheduler": "celery.beat:Scheduler",  # in memory: the schedule is code, and there is no file to lock
        "beat_schedule": {
            name: {
                "task": name,
                "schedule": settings.sweep_every,
                # Messages that nobody took up need not pile up for ever. Not sooner: the clocks of two machines are compared.
                "options": {"expires": max(600.0, 10 * settings.sweep_every)},
            }
            for name in (SWEEP_TASK, CHECK_TASK)
        },
        "beat_max_loop_interval": max(0.1, min(5.0, settings.sweep_every / 2)),
        "timezone": "UTC",
    }
