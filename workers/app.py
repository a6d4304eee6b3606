"""Celery's entry point: `celery --app workers.app …`. The one module whose import reads the settings."""

import logging
import threading
from typing import Any

from celery import Celery
from celery.signals import (
    celeryd_init,
    import_modules,
    setup_logging,
    worker_init,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)

from app.assembly import Parts, assemble
from app.logs import configure_logs
from app.pipeline.lease import hand_over_claims
from app.settings import load_or_exit
from app.traces import start_traces
from workers import transport
from workers.alarm import Alarm
from workers.configuration import configure
from workers.departure import Departure
from workers.gathering import Gathering
from workers.postman import Postmen

transport.install()
settings = load_or_exit("bucket")
app = Celery("reelkeep", include=["workers.tasks"])
app.conf.update(configure(settings))
app.steps["consumer"].add(Gathering)

_lock = threading.Lock()
_parts: list[Parts] = []


def parts() -> Parts:
    """The process's parts, made when they are first needed. They connect to nothing before they are used."""
    with _lock:
        if not _parts:
            _parts.append(assemble(settings))
        return _parts[0]


# The first for workers and beat, and it keeps Celery from making handlers of its own; the others come before a worker's first
# warnings, and in Flower.
@setup_logging.connect
@celeryd_init.connect
@import_modules.connect
def _set_up_logging(**_: Any) -> None:
    configure_logs(settings.log_format, settings.secrets)
    logging.getLogger("celery.app.trace").setLevel(logging.WARNING)
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)


@worker_init.connect
def _trace(**_: Any) -> None:
    start_traces()


@worker_init.connect
def _watch_for_the_end(**_: Any) -> None:
    Departure(parts().stop, hand_over_claims).start()


@worker_ready.connect
def _set_alarm(**_: Any) -> None:
    alarm = Alarm(parts().ledger)
    alarm.start()
    worker_shutting_down.connect(lambda **_: alarm.stop(), weak=False)


@worker_ready.connect
def _send_events(**_: Any) -> None:
    use = parts()
    if use.notifier is not None:
        from app.adapters.notifier import TIMEOUT  # here: beat and Flower send no events, and so need no client of HTTP

        postmen = Postmen(use, use.notifier)
        postmen.start()
        worker_shutting_down.connect(lambda **_: postmen.stop(), weak=False)
        worker_shutdown.connect(lambda **_: postmen.join(TIMEOUT), weak=False)


@worker_shutting_down.connect
def _hand_over(**_: Any) -> None:
    """Running downloads stop at the next chunk and give their claims back."""
    parts().stop.set()
