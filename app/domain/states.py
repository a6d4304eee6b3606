"""A generation's states as users see them (design 3.4)."""

from enum import StrEnum


class State(StrEnum):
    """Where a generation stands."""

    WAITING = "waiting"
    MIRRORING = "mirroring"
    COMPLETE = "complete"
    FAILED = "failed"
    LOST = "lost"
    #: submitted here, and nobody knows yet whether the vendor has created it
    UNCERTAIN = "uncertain"
