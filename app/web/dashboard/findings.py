"""What the first screen says in words: whether all is well, and if not, what is wrong and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.checkup import Level, Remark, tell_duration
from app.domain.generation import Generation
from app.domain.overview import HOURS_OF_DAY, AtRisk, Overview, count_missing
from app.domain.policy import Policy
from app.domain.rendition import Rendition
from app.domain.states import State
from app.domain.work import UPGRADES
from app.settings import Settings
from app.web.dashboard.words import credits, name_file
from app.web.health import check_fleet

#: seconds: what is lost within two days is grave
SOON = 2 * 86400.0
#: so many callbacks that did not come within two hours are no accident, if they are most; and when a budget is nearly spent.
#: The alerts say the same: deploy/prometheus/alerts.yml
MANY_MISSING, NEARLY = 5, 0.9


@dataclass(frozen=True)
class Part:
    """How one part of the installation is."""

    name: str
    level: Level
    text: str


@dataclass(frozen=True)
class Finding:
    """One thing that is not well."""

    sentence: str
    #: what to do about it
    advice: str
    #: something is or will be lost, or nothing works: more than a warning
    is_grave: bool = True
    #: the list that shows it: an endpoint's arguments; None: there is no list
    filter: dict[str, str] | None = None


@dataclass(frozen=True)
class Trouble:
    """Why something is at risk, and what to do."""

    what: str
    advice: str


def look_at_parts(overview: Overview, remarks: Sequence[Remark], settings: Settings) -> list[Part]:
    """Redis, the fleet, the bucket, the vendor's account."""
    fleet = check_fleet(overview.health, settings.sweep_every, settings.download_deadline)
    fine = {"sweep": "sweeps run", "bucket": "reachable with our rights", "work": "nothing is stuck"}
    return [
        _redis(remarks),
        *(
            Part(name.capitalize(), Level.PROBLEM if text else Level.OK, text or fine[name])
            for name, text in fleet.items()
        ),
        _account(overview, settings),
        *_receiver(overview, settings),
    ]


def _redis(remarks: Sequence[Remark]) -> Part:
    told = sorted(
        (remark for remark in remarks if remark.level is not Level.OK), key=lambda it: it.level is Level.WARNING
    )
    if told:
        return Part("Redis", told[0].level, "; ".join(remark.sentence for remark in told))
    return Part("Redis", Level.OK, "answers, takes writes and keeps them")


def _account(overview: Overview, settings: Settings) -> Part:
    health, name = overview.health, "Vendor account"
    if not settings.can_submit:
        return Part(
            name, Level.WARNING, "no REELKEEP_KIE_API_KEY: nothing is asked or bought, and callbacks are believed"
        )
    if warning := health.warn_of_account(settings.credits_warn_below):
        return Part(name, Level.WARNING, warning)
    if health.credits is None:
        return Part(name, Level.OK, "the balance has not been looked at yet")
    seen = tell_duration(overview.now - (health.credits_at or overview.now))
    return Part(name, Level.OK, f"{credits(health.credits)} credits left, as of {seen} ago")


def _receiver(overview: Overview, settings: Settings) -> list[Part]:
    warning = overview.health.warn_of_receiver
    if not (warning or settings.events_url):
        return []
    return [Part("Events", Level.WARNING if warning else Level.OK, warning or "your receiver takes them")]


def find_what_is_wrong(overview: Overview, parts: Sequence[Part], policy: Policy) -> list[Finding]:
    """All of it, the worst first; nothing: all is well."""
    found = [_tell_part(part) for part in parts if part.level is Level.PROBLEM]
    if overview.at_risk:
        number = _count(overview.at_risk, "generation is", "generations are")
        soonest = overview.risks[0].until - overview.now if overview.risks else 0.0
        first = "it" if overview.at_risk == 1 else "the first"
        left = f"{first} is lost in {tell_duration(soonest)} unless something is done"
        sentence = f"{number} at risk; {left if soonest > 0 else f'the time of {first} is over'}"
        found.append(Finding(sentence, "Why, and what to do, stands below.", soonest < SOON))
    if overview.uncertain:
        number = _count(overview.uncertain, "purchase is", "purchases are")
        advice = "Nothing is sent again by itself. The generation's page says how it is settled."
        sentence = f"{number} uncertain: bought or not, the vendor has not said"
        found.append(Finding(sentence, advice, filter={"state": "uncertain"}))
    day = overview.lately(HOURS_OF_DAY)
    # What was tried again and kept is not lost any more, and what was lost twice is one.
    if lost := min(int(day.get("ended:lost", 0)), overview.counts.get(State.LOST, 0)):
        number = _count(lost, "generation was", "generations were")
        advice = "The list says why. Mend that, then try again what failed, before the vendor's files are gone."
        found.append(Finding(f"{number} lost in the last 24 hours", advice, filter={"state": "lost"}))
    found += [_tell_part(part) for part in parts if part.level is Level.WARNING]
    hour = overview.lately(2)
    verdicts = sum(amount for name, amount in hour.items() if name.startswith("verdicts:"))
    if (missing := count_missing(hour)) >= MANY_MISSING and missing > verdicts / 2:
        sentence = f"Callbacks do not come: {missing:,} of the last {verdicts:,.0f} verdicts had to be asked for"
        advice = "See that the vendor reaches REELKEEP_PUBLIC_URL, and whether the log of web says callback.refused."
        found.append(Finding(sentence, advice, False))
    if dropped := int(day.get("events:dropped", 0)):
        number, what = _count(dropped, "event was", "events were"), "it" if dropped == 1 else "them"
        advice = "`reelkeep doctor --events` sends one to see; the log says what the receiver answered."
        sentence = f"{number} dropped in the last 24 hours: your receiver did not take {what}"
        found.append(Finding(sentence, advice, False))
    spent = overview.spent_today.get("total", 0.0)
    if policy.credits_per_day is not None and spent > NEARLY * policy.credits_per_day:
        sentence = f"The day's budget is nearly spent: {credits(spent)} of {credits(policy.credits_per_day)} credits"
        advice = (
            "What comes over it is refused, or waits for tomorrow (UTC), unless REELKEEP_CREDITS_PER_DAY is raised."
        )
        found.append(Finding(sentence, advice, False))
    return found


def _tell_part(part: Part) -> Finding:
    advice = "`reelkeep doctor`, said where the workers run, looks closer and says what to mend."
    return Finding(f"{part.name}: {part.text}", advice, part.level is Level.PROBLEM)


def explain(risk: AtRisk) -> Trouble:
    """Why a generation is at risk, and what to do."""
    record = risk.record
    if not isinstance(record, Generation):
        return Trouble(record.error or f"it is {record.state}", "look at it")
    late = [rendition for rendition in record.renditions if rendition.too_late_at == risk.until]
    if late:
        return _explain_file(late[0])
    why = f": {record.error}" if record.error else ""
    return Trouble(
        f"no verdict yet, long after there should be one{why}",
        "Reelkeep keeps asking. Look for the task in the vendor's log; if it has ended there, see whether callbacks reach "
        "REELKEEP_PUBLIC_URL and whether the account's key is right.",
    )


def _explain_file(rendition: Rendition) -> Trouble:
    name, why = name_file(rendition.kind, rendition.index), rendition.error or "no reason is known"
    if rendition.kind in UPGRADES and not rendition.url:
        if rendition.order is None:
            return Trouble(f"{name}: wanted and not ordered: {why}", "Raise the budget, or top up the account.")
        return Trouble(
            f"{name}: ordered, and long overdue",
            "Nothing is bought again. Ask the vendor, with the order's id from its page.",
        )
    if not rendition.attempts:
        return Trouble(f"{name}: its link ends soon, and nobody has begun", "See that enough mirror workers run.")
    if rendition.dead_rounds:
        return Trouble(
            f"{name}: its link is dead, and the vendor has no other so far: {why}",
            "It is tried again by itself, until it is certain. Ask the vendor's support for the file, with the id.",
        )
    return Trouble(
        f"{name}: {rendition.attempts} attempts failed; the last: {why}",
        "It is tried again by itself. If it is the host, the size or the bucket that is refused, mend that setting.",
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
