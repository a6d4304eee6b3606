"""The safeguards that a run can leave out, to see that it notices. Patches the product from outside: it has no such switch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Safeguard:
    """One of them."""

    about: str
    #: the row that must turn red without it; others may too
    reddens: str
    #: the form of the vendor's API in which that is shown: only in the unified one can an upgrade be bought twice
    form: Literal["veo", "jobs"] = "veo"


SAFEGUARDS: Mapping[str, Safeguard] = {
    "lease": Safeguard(
        "a claim lapses when its holder is silent",
        reddens="generations in no named end state",
    ),
    "sweep": Safeguard(
        "what was lost from the queue is found and sent again",
        reddens="what an emptied broker held is taken up",
    ),
    "record-first": Safeguard(
        "callbacks are recorded before they are answered, purchases noted before they are sent",
        reddens="callbacks answered 200 and unknown to the ledger",
        form="jobs",
    ),
    "confirm": Safeguard(
        "the vendor is asked before a callback is believed, the store before an object counts",
        reddens="objects equal to their source",
    ),
}
