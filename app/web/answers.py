"""The JSON of answers that are no generation: see `app.domain.shapes`."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # as in `app.domain.shapes`

from app.domain.shapes import Credits, GenerationView, Time


class FaultView(TypedDict):
    """One thing that is wrong with a request."""

    field: Annotated[str, Field(description="where: the name of the field, with dots inside of objects and lists")]
    message: str


class ProblemView(TypedDict):
    """What is wrong, and what to do (RFC 9457). Every error of every route has this form."""

    type: Annotated[str, Field(description="always `about:blank`: the status says what kind of problem it is")]
    title: Annotated[str, Field(description="the status in words")]
    status: int
    detail: Annotated[str, Field(description="a sentence for a person: what is wrong here, and what to do")]
    errors: NotRequired[Annotated[list[FaultView], Field(description="for status 400: each thing that is wrong")]]


class PageView(TypedDict):
    """One page of a list."""

    generations: Annotated[list[GenerationView], Field(description="newest first")]
    cursor: Annotated[str | None, Field(description="where the next page begins; null: this was the last")]


class BudgetsView(TypedDict):
    """The budgets that are set; null: there is none."""

    day: Credits | None
    dayForUpgrades: Credits | None
    generation: Credits | None


class AccountView(TypedDict):
    """The account at the vendor's, and what was spent."""

    credits: Annotated[float | None, Field(description="the balance when it was last looked at")]
    creditsAt: Time | None
    warning: Annotated[str | None, Field(description="what is wrong with the account")]
    spentToday: Annotated[
        dict[str, float], Field(description="credits reserved or spent this UTC day: by step, and in `total`")
    ]
    budgets: BudgetsView


class AliveView(TypedDict):
    """The process is alive."""

    status: str


class ReadyView(TypedDict):
    """What was looked at, and what was found."""

    status: Annotated[str, Field(description="`ready` or `not ready`")]
    checks: Annotated[dict[str, str], Field(description="`ok` or what is wrong, by part")]
    warnings: NotRequired[Annotated[list[str], Field(description="what stops nothing, but should be mended")]]
    account: NotRequired[Annotated[str, Field(description="whether the vendor's account needs a look")]]


class CallbackAnswer(TypedDict):
    """What the vendor wants to hear."""

    code: int
    msg: str
