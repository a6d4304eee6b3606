"""What a look at one part of the installation found, as `/readyz` and `reelkeep doctor` say it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    #: it works, and something may be lost, refused or misunderstood some day
    WARNING = "warning"
    #: something that is needed does not work
    PROBLEM = "problem"


@dataclass(frozen=True)
class Remark:
    """One thing that was found. Neither text holds a secret."""

    #: the part, such as `redis memory`
    about: str
    level: Level
    #: what is so
    text: str
    #: what to do about it; empty if nothing
    mend: str = ""

    @property
    def sentence(self) -> str:
        """Both in one."""
        return f"{self.text}: {self.mend}" if self.mend else self.text


def worst(remarks: Iterable[Remark]) -> Level:
    """The worst level; `ok` of none."""
    return max((remark.level for remark in remarks), key=list(Level).index, default=Level.OK)


def tell_duration(seconds: float) -> str:
    """Seconds in the largest unit of which there are two: `45 s`, `12 min`, `3 h`, `9 d`."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def tell_size(size: float) -> str:
    """Bytes in the largest unit of which there is one: `512 KiB`, `1.5 GiB`."""
    for unit, length in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size >= length:
            return f"{size / length:.1f} {unit}"
    return f"{size:.0f} bytes"
