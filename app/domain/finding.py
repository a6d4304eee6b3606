"""What is looked for in lists of generations."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.domain.generation import Generation
from app.domain.standing import Standing, label_list
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.work import Kind


@dataclass(frozen=True)
class Filter:
    """All that is given must be true of a record.

    Of upgrade, label, doubt and time the ledger has lists, so that what does not fit is not even looked at; of several lists it
    goes through the shortest. A text is looked for in every record that the rest leaves over: to find one by its id, read it.
    """

    #: it has, or is to have, this upgrade
    kind: Kind | None = None
    #: name and value
    label: tuple[str, str] | None = None
    #: something of it may or may not have been bought: whatever its state
    uncertain: bool = False
    #: tracked at this time or later; before this time: epoch seconds
    since: float | None = None
    until: float | None = None
    #: a part of an id, of a label's value or of the vendor's message, in capital or small letters
    text: str = ""

    def lists(self, state: State | None) -> list[str]:
        """The lists that all that fits is on."""
        named = [f"state:{state}" if state else "", f"kind:{self.kind}" if self.kind else ""]
        named += [label_list(*self.label) if self.label else "", "uncertain" if self.uncertain else ""]
        return [name for name in named if name] or ["tracked"]

    def fits(self, record: Generation | Submission, state: State | None) -> bool:
        """Whether a record is among what is looked for."""
        lists = Standing.of(record).lists
        return all(name in lists for name in self.lists(state)) and self._is_in(record)

    def _is_in(self, record: Generation | Submission) -> bool:
        text = self.text.casefold()
        return not text or any(text in place.casefold() for place in _places(record))


def _places(record: Generation | Submission) -> Iterator[str]:
    yield from (record.id, record.task_id) if isinstance(record, Submission) else (record.task_id, record.submission)
    yield record.msg
    yield from record.labels.values()


ALL = Filter()
