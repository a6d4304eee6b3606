"""Celery's events: sent together now and then, and once more before the connection is given up."""

from types import SimpleNamespace

from kombu.asynchronous.timer import Timer

from workers.gathering import PAUSE, Gathering


class Dispatcher:
    """Counts how often events were sent."""

    def __init__(self) -> None:
        self.on_send_buffered: object = print
        self.sent = 0

    def flush(self) -> None:
        self.sent += 1
        if self.sent > 2:
            raise ConnectionError("gone")


def _consumer() -> SimpleNamespace:
    errors = SimpleNamespace(connection_errors=(ConnectionError,), channel_errors=())
    return SimpleNamespace(event_dispatcher=Dispatcher(), timer=Timer(), connection=errors, **vars(errors))


def test_events_wait_for_each_other_and_not_for_long() -> None:
    consumer = _consumer()
    Gathering(consumer).start(consumer)
    [(_, _, entry)] = consumer.timer._queue
    entry()
    assert (consumer.event_dispatcher.on_send_buffered, consumer.event_dispatcher.sent) == (None, 1)
    assert 0 < PAUSE <= 1


def test_what_has_gathered_is_sent_before_the_end() -> None:
    consumer = _consumer()
    step = Gathering(consumer)
    step.stop(consumer)  # it had not begun
    step.start(consumer)
    step.stop(consumer)
    [(_, _, entry)] = consumer.timer._queue
    assert (consumer.event_dispatcher.sent, entry.canceled) == (1, True)


def test_a_connection_that_is_gone_does_not_hold_up_the_next() -> None:
    consumer = _consumer()
    consumer.event_dispatcher.sent = 2
    step = Gathering(consumer)
    step.start(consumer)
    step.stop(consumer)
    assert consumer.event_dispatcher.sent == 3
