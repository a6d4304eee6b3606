"""The outbox: events on their way to the user's receiver. It is part of the record, so that an event and the change that it tells
of are written in one step. Most of the time it is empty, and takes no room."""

from pydantic import BaseModel, ConfigDict, Field

from app.domain.work import Work


class Event(BaseModel):
    """One event, as each try sends it."""

    model_config = ConfigDict(extra="allow")

    #: the same for every try, and for the same thing told again after a loss
    id: str
    #: `video.stored`, `video.failed`, `video.at_risk`
    type: str
    #: when it happened, epoch seconds on the ledger's clock
    at: float
    #: the JSON that goes out
    body: str


class Outbox(BaseModel):
    """The events of one generation, oldest first. They leave one at a time, and so in order."""

    model_config = ConfigDict(extra="allow")

    events: list[Event] = Field(default_factory=list)
    work: Work = Field(default_factory=Work)
    #: how often the first has failed, and why the last time
    attempts: int = 0
    error: str = ""

    def add(self, events: list[Event], now: float) -> bool:
        """Put events behind those that wait; one that waits already is not put in again. Gives whether any is new."""
        waiting = {event.id for event in self.events}
        new = [event for event in events if event.id not in waiting]
        self.events += new
        if new and self.work.at is None:
            self.work.at = now
        return bool(new)

    def holds(self, fence: int, event: Event) -> bool:
        """Whether a claim is still the newest, and about this event: numbers begin anew when the box was empty."""
        return self.work.holds(fence) and bool(self.events) and self.events[0].id == event.id

    def drop_first(self, now: float) -> None:
        """The first has left; the next one's turn is now."""
        del self.events[:1]
        self.attempts, self.error = 0, ""
        self.work = Work(at=now, fence=self.work.fence) if self.events else Work()
