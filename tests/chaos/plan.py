"""What a run does, drawn from its seed: which generations go in when and how, and what is broken when."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from tests.chaos.scale import Scale

#: what can be killed; `web` with all its children
VICTIMS = ("web", "web-2", "worker", "worker-2", "mirror", "mirror-2", "beat", "beat-2")
#: how often each of the greater troubles comes in a run
TROUBLES = {"deploy": 3, "kill redis": 5, "pause redis": 2, "empty broker": 2, "s3 outage": 1}
#: of all generations: callback never sent, sent two to five times
NEVER_SENT, REPEATED = 0.3, 0.2
#: of those whose one callback is all that anybody will know of them
CALLBACK_ONLY = 0.25
FAILURES = ((400, 2), (422, 2), (500, 2), (501, 2), (500, 3))
BODIES = ("documented", "prompt-object", "json-string", "bracketed", "bare-url", "snake-case")
FILE_FAULTS = (500, 503, "truncate", "short", "reset", "html")


class Way(StrEnum):
    """How a generation comes in."""

    #: submitted by the application, which tells us of it
    TRACKED = "tracked with PUT"
    #: submitted by the application, and known by its callback alone
    CALLBACK = "known by its callback"
    #: submitted here
    SUBMITTED = "submitted through Reelkeep"


@dataclass(frozen=True)
class Planned:
    """One generation to be."""

    number: int
    way: Way
    #: seconds from the beginning
    at: float
    #: the simulator's scenario, by its fields
    scenario: Mapping[str, Any]
    upgrades: tuple[str, ...] = ()
    #: a forged callback under a caught signature: a failure that is none, or somebody else's video
    forged: Literal["", "failure", "foreign"] = ""
    #: asked for once more under the same Idempotency-Key, or told of once more
    again: bool = False

    @property
    def name(self) -> str:
        """Of its scenario."""
        return f"g{self.number:05}"

    def prompt(self, attempt: int = 1) -> str:
        """Chooses its scenario, and is unlike any other's."""
        return f"scenario={self.name} a cat, number {self.number}, take {attempt}"


@dataclass(frozen=True)
class Trouble:
    """Something to be broken, so many seconds from the beginning."""

    at: float
    name: str
    #: the process, for kills
    victim: str = ""


@dataclass(frozen=True)
class Plan:
    """A whole run."""

    generations: tuple[Planned, ...]
    kills: tuple[Trouble, ...]
    #: those that must not overlap
    troubles: tuple[Trouble, ...]


def draw_plan(seed: int, scale: Scale) -> Plan:
    """The plan of a run. The same seed and scale give the same one."""
    chance = random.Random(seed)
    step = scale.lasts / scale.generations
    generations = tuple(_draw_generation(chance, number, step * number) for number in range(scale.generations))
    return Plan(generations, tuple(_draw_kills(chance, scale)), tuple(_draw_troubles(chance, scale)))


def _draw_kills(chance: random.Random, scale: Scale) -> list[Trouble]:
    kills, at = [], 1.0
    while at < scale.lasts:
        kills.append(Trouble(at, "kill", chance.choice(VICTIMS)))
        at += chance.uniform(*scale.calm)
    return kills


def _draw_troubles(chance: random.Random, scale: Scale) -> list[Trouble]:
    """In a chance order, spread evenly: two that come at once would be one."""
    names = [name for name, count in TROUBLES.items() for _ in range(count)]
    chance.shuffle(names)
    while "empty broker" in names[-4:]:  # what was in it is looked for a while later, and is to meet more troubles then
        chance.shuffle(names)
    step = scale.lasts / (len(names) + 1)
    return [Trouble(step * (place + chance.uniform(0.5, 1)), name) for place, name in enumerate(names)]


def _draw_generation(chance: random.Random, number: int, at: float) -> Planned:
    way = chance.choices((Way.TRACKED, Way.CALLBACK, Way.SUBMITTED), (0.4, CALLBACK_ONLY, 0.35))[0]
    scenario: dict[str, Any] = {
        "takes": round(chance.uniform(30, 240), 1),
        "body": chance.choice(BODIES),
        "timestamp_shift": -3600 if chance.random() < 0.1 else 0,
        **_draw_outcome(chance),
        **_draw_files(chance),
    }
    succeeds = "failure" not in scenario
    scenario |= _draw_callbacks(chance, way, succeeds=succeeds)
    upgrades: tuple[str, ...] = ()
    # Where an upgrade's file has moved to is not asked for: the question might buy it again (veo-api §5).
    if way is not Way.CALLBACK and scenario.get("links") not in ("dead", "moved"):
        upgrades = chance.choices(((), ("1080p",), ("4k",), ("1080p", "4k")), (0.6, 0.2, 0.15, 0.05))[0]
    if upgrades:
        scenario |= _draw_upgrades(chance, fails=not succeeds or "failure" in scenario["callbacks"])
    forged: Literal["", "failure", "foreign"] = ""
    if succeeds and way is Way.TRACKED and chance.random() < 0.1:
        forged = chance.choice(("failure", "foreign"))
    return Planned(number, way, at, scenario, upgrades, forged, again=chance.random() < 0.1)


def _draw_outcome(chance: random.Random) -> dict[str, Any]:
    drawn = chance.random()
    if drawn < 0.06:
        code, flag = chance.choice(FAILURES)
        return {"failure": {"code": code, "msg": "It did not work out.", "flag": flag}}
    if drawn < 0.10:
        return {"fallback": True}
    if drawn < 0.18:
        return {"results": chance.randint(2, 3)}
    return {"portrait": True} if drawn < 0.26 else {}


def _draw_files(chance: random.Random) -> dict[str, Any]:
    """What is wrong with its files, if anything."""
    drawn = chance.random()
    if drawn < 0.3:
        return {"file_faults": chance.choices(FILE_FAULTS, k=chance.randint(1, 2))}
    if drawn < 0.32:
        return {"file_faults": ["stall"]}
    if drawn < 0.40:
        return {"link_life": round(chance.uniform(1, 60), 1), "dead_status": chance.choice((403, 404, 410))}
    if drawn < 0.43:
        return {"links": "renewable"}
    if drawn < 0.46:
        return {"links": "moved"}
    return {"links": "dead"} if drawn < 0.465 else {}


def _draw_callbacks(chance: random.Random, way: Way, *, succeeds: bool) -> dict[str, Any]:
    """Never, once, or two to five times; then failures that are none may be among them, in any order."""
    fields: dict[str, Any] = {"callbacks": ["verdict"]}
    if chance.random() < 0.2:
        fields["callback_delay"] = round(chance.uniform(0, 600), 1)
    drawn = chance.random()
    # Of those that only their callback tells of, it is sent: so it is withheld from more of the others.
    never = 0.0 if way is Way.CALLBACK else NEVER_SENT / (1 - CALLBACK_ONLY)
    if drawn < never:
        fields["callbacks"] = []
    elif drawn < never + REPEATED:
        messages = ["verdict"] * chance.randint(1, 3) + ["failure"] * (chance.randint(0, 2) if succeeds else 0)
        messages += ["verdict"] * max(0, 2 - len(messages))
        chance.shuffle(messages)
        fields |= {
            "callbacks": messages,
            "callbacks_at_once": chance.random() < 0.5,
            "callback_spacing": round(chance.uniform(0, 60), 1),
        }
    return fields


def _draw_upgrades(chance: random.Random, *, fails: bool) -> dict[str, Any]:
    """:param fails: there are failure callbacks about the generation itself, which must name it"""
    outcome = chance.choices(("works", "unavailable", "already-made"), (0.84, 0.08, 0.08))[0]
    callbacks = chance.choices((["verdict"], [], ["verdict"] * 3), (0.5, NEVER_SENT, REPEATED))[0]
    return {
        "upgrade_4k": outcome,
        "id_4k": chance.choice(("new", "parent")),
        "callbacks_4k": callbacks,
        "null_data": outcome == "unavailable" and not fails and chance.random() < 0.5,
    }
