"""The list's form: what is looked for."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from app.domain.finding import Filter
from app.domain.ledger import CURSOR
from app.domain.states import State
from app.domain.work import Kind


def _read_label(value: object) -> object:
    if not isinstance(value, str) or not value:
        return None
    name, equals, rest = value.partition("=")
    if not (name.strip() and equals):
        raise ValueError("must be name=value")
    return name.strip(), rest.strip()


def _read_time(value: object) -> object:
    if not isinstance(value, str) or not value:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a date and a time such as 2026-01-31T18:00") from None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        raise ValueError("is no time that can be looked for") from None


#: browsers send empty fields too
_Empty = BeforeValidator(lambda value: value or None)
_Time = Annotated[float | None, BeforeValidator(_read_time)]
_LabelText = Annotated[tuple[str, str] | None, BeforeValidator(_read_label)]


class Search(BaseModel):
    """What the list shows. All times are UTC."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    state: Annotated[State | None, _Empty] = None
    kind: Annotated[Literal["1080p", "4k"] | None, _Empty] = None
    label: _LabelText = None
    since: _Time = None
    until: _Time = None
    text: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    cursor: Annotated[Annotated[str, Field(pattern=CURSOR)] | None, _Empty] = None

    @property
    def filter(self) -> Filter:
        """For the ledger."""
        kind = Kind(self.kind) if self.kind else None
        uncertain = self.state is State.UNCERTAIN
        return Filter(
            kind=kind, label=self.label, uncertain=uncertain, since=self.since, until=self.until, text=self.text
        )

    @property
    def listed_state(self) -> State | None:
        """For the ledger. A generation whose upgrade is uncertain has a state of its own beside that."""
        return None if self.state is State.UNCERTAIN else self.state

    @property
    def is_plain(self) -> bool:
        """Nothing but a text, if anything, is given."""
        return not (self.state or self.kind or self.label or self.since or self.until or self.cursor)
