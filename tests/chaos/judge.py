"""The second phase: every id that was promised, against the ledger, the bucket, the manifests and the vendor's books.

What must have become of a generation is not foretold: the vendor's books say what it made and sold.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.feed import Promises
from tests.chaos.plan import Planned, Way

PREFIX = "veo/"
FORMAT = 1
#: kinds that come with a generation; all others are bought, or come with what was bought
OWN = ("result", "origin", "full")
END_STATES = ("stored", "failed", "unavailable")
ANSWERS = (200, 503)
#: (kind, index) of a rendition
Name = tuple[str, int]


@dataclass(frozen=True)
class Evidence:
    """What there is to be judged."""

    promises: Promises
    #: the simulator's
    books: Mapping[str, Any]
    #: the plan of each generation, by its scenario's name
    plan: Mapping[str, Planned]
    #: what Reelkeep shows, by the vendor's id and by ours
    shown: Mapping[str, Mapping[str, Any]]
    #: SHA-256 of each object, by its key
    objects: Mapping[str, str]
    #: by the vendor's id
    manifests: Mapping[str, Any]


@dataclass
class Judgement:
    """What is wrong, one line for each case, and what was counted."""

    #: of all that should be in the bucket: not there, or not the vendor's bytes
    wrong_objects: list[str] = field(default_factory=list)
    objects: int = 0
    stray_objects: list[str] = field(default_factory=list)
    #: promised, and in no named end state
    unended: list[str] = field(default_factory=list)
    #: ended otherwise than the vendor says
    wrong_ends: list[str] = field(default_factory=list)
    #: callbacks answered 200 that the ledger does not know
    forgotten_callbacks: list[str] = field(default_factory=list)
    odd_answers: list[str] = field(default_factory=list)
    doubled_purchases: list[str] = field(default_factory=list)
    forgotten_purchases: list[str] = field(default_factory=list)
    unasked_purchases: list[str] = field(default_factory=list)
    doubled_submissions: list[str] = field(default_factory=list)
    wrong_manifests: list[str] = field(default_factory=list)
    #: submissions whose outcome nobody can tell: no answer of the vendor's was recorded, and no callback came
    uncertain: int = 0
    #: orders of the unified form that nobody can tell the outcome of, for the same reasons
    uncertain_orders: int = 0
    #: by their states
    ends: Counter[str] = field(default_factory=Counter)
    #: generations by the way they came in
    ways: Counter[str] = field(default_factory=Counter)
    callbacks: Counter[str] = field(default_factory=Counter)
    purchases: int = 0
    #: generations of the vendor's that nobody was told of: no id, no callback that arrived
    unknown: int = 0


def judge(evidence: Evidence) -> Judgement:
    """Judge a run that has come to rest."""
    judgement = Judgement()
    _Judge(evidence, judgement).run()
    return judgement


@dataclass(frozen=True)
class _Case:
    """One generation of the vendor's."""

    task_id: str
    planned: Planned
    record: Mapping[str, Any]
    purchases: list[Mapping[str, Any]]

    @property
    def deliveries(self) -> list[Mapping[str, Any]]:
        return [*self.record["deliveries"], *(one for row in self.purchases for one in row["deliveries"])]

    @property
    def arrived(self) -> int:
        """Callbacks that were answered 200."""
        return sum(one.get("status") == 200 for one in self.deliveries)

    @property
    def succeeded(self) -> bool:
        return bool(self.record["outcome"] == "success")

    @property
    def dead(self) -> bool:
        """Its files cannot be had by anybody."""
        return self.planned.scenario.get("links") == "dead"

    @property
    def upgrades(self) -> tuple[str, ...]:
        """Wanted, and to be had: there are none of failures, nor of the fallback model's videos."""
        fallback = self.planned.scenario.get("fallback")
        return self.planned.upgrades if self.succeeded and not fallback else ()

    def sold(self, kind: str) -> list[Mapping[str, Any]]:
        return [row for row in self.purchases if row["kind"] == kind]


class _Judge:
    def __init__(self, evidence: Evidence, judgement: Judgement) -> None:
        self.evidence = evidence
        self.out = judgement
        self.files = _index_files(evidence.books)
        #: the vendor's generations, by their prompts
        self.made: dict[str, list[Mapping[str, Any]]] = {}
        for record in evidence.books["generations"].values():
            self.made.setdefault(record["prompt"], []).append(record)
        # what the store was tried with stays where the worker was killed just then
        self.rightful = {f"{PREFIX}.parts/checksum-probe"}
        #: generations that go on being looked at, so that no manifest can show them as they are
        self.restless: set[str] = set()

    def run(self) -> None:
        promises, shown = self.evidence.promises, self.evidence.shown
        here = {row["taskId"] for our_id in promises.submitted if (row := shown.get(our_id)) and row["taskId"]}
        for case in self._cases():
            self._judge_callbacks(case)
            self._judge_purchases(case)
            self.rightful.add(f"{PREFIX}{case.task_id}/manifest.json")
            # One that is shown was recorded, though the vendor may not have seen the answer.
            if case.task_id in promises.tracked | here or case.arrived or case.task_id in shown:
                self._judge_end(case)
            else:
                self.out.unknown += case.planned.way is not Way.SUBMITTED
        for our_id, planned in promises.submitted.items():
            self._judge_submission(our_id, planned)
        for task_id in {row["taskId"] for row in shown.values() if row["taskId"]} - self.restless:
            self._judge_manifest(task_id)
        self.out.stray_objects = sorted(self.evidence.objects.keys() - self.rightful)
        self.out.odd_answers += promises.odd_answers

    def _cases(self) -> Iterator[_Case]:
        purchases: dict[str, list[Mapping[str, Any]]] = {}
        for row in self.evidence.books["purchases"]:
            purchases.setdefault(row["taskId"], []).append(row)
        for task_id, record in self.evidence.books["generations"].items():
            planned = self.evidence.plan.get(record["scenario"])
            if planned is not None:
                yield _Case(task_id, planned, record, purchases.get(task_id, []))

    # --- promises ------------------------------------------------------------------------------------------------------

    def _judge_callbacks(self, case: _Case) -> None:
        out, row = self.out, self.evidence.shown.get(case.task_id)
        for one in case.deliveries:
            out.callbacks[str(one.get("status", "no answer"))] += 1
            if one.get("status") not in (None, *ANSWERS):
                out.odd_answers.append(f"the callback of {case.task_id} was answered {one['status']}")
        promised = case.arrived + self.evidence.promises.forged[case.task_id]
        known = row["callbacks"]["received"] if row else 0
        if known < promised:
            out.forgotten_callbacks.append(f"{case.task_id}: {promised} were answered 200, {known} are known")

    def _judge_submission(self, our_id: str, planned: Planned) -> None:
        out, row = self.out, self.evidence.shown.get(our_id)
        made = self.made.get(planned.prompt(), [])
        if len(made) > 1:
            out.doubled_submissions.append(f"{our_id} was created {len(made)} times")
        if row is None or row["state"] == "waiting":
            out.unended.append(f"{our_id} ({planned.name}): {row['state'] if row else 'unknown'}")
        elif row["state"] == "uncertain":
            out.uncertain += 1
            out.ends["uncertain"] += 1
            out.ways[planned.way] += 1
            if any(one.get("status") == 200 for record in made for one in record["deliveries"]):
                out.unended.append(f"{our_id} ({planned.name}): uncertain, although its callback was answered 200")
        elif row["taskId"] is None:
            out.ends[f"not created: {row['state']}"] += 1
            out.ways[planned.way] += 1
            if row["state"] != "failed" or made:
                out.wrong_ends.append(f"{our_id} ({planned.name}): {row['state']}, but it was created")

    # --- ends ----------------------------------------------------------------------------------------------------------

    def _judge_end(self, case: _Case) -> None:
        out, row = self.out, self.evidence.shown.get(case.task_id)
        name = f"{case.task_id} ({case.planned.name})"
        out.ways[case.planned.way] += 1
        if row is None:
            out.unended.append(f"{name}: unknown")
            return
        out.ends[row["state"]] += 1
        renditions = {(one["kind"], one["index"]): one for one in row["renditions"]}
        uncertain = self._uncertain_orders(case)
        left = {wanted: one for wanted, one in renditions.items() if one["state"] not in END_STATES}
        certain = [f"{kind}/{index}" for kind, index in left if kind not in uncertain]
        if uncertain:
            out.uncertain_orders += len(uncertain)
            self.restless.add(case.task_id)
        if row["state"] == "waiting" or certain or (row["state"] == "mirroring" and not uncertain):
            out.unended.append(f"{name}: {row['state']} {' '.join(certain)}; {row['error']}")
        elif not uncertain:
            wanted = "failed" if not case.succeeded else "lost" if case.dead else "complete"
            if row["state"] != wanted:
                out.wrong_ends.append(f"{name}: {row['state']}, where the vendor's books say {wanted}; {row['error']}")
        self._judge_objects(case, name, renditions)

    def _judge_objects(self, case: _Case, name: str, renditions: Mapping[Name, Mapping[str, Any]]) -> None:
        for wanted, sha256 in self._wanted_files(case).items():
            self.out.objects += 1
            rendition = renditions.get(wanted)
            key = rendition["key"] if rendition else None
            what = f"{name}: {wanted[0]}/{wanted[1]}"
            if rendition is None or key is None:
                self.out.wrong_objects.append(f"{what}: {rendition['state'] if rendition else 'unknown'}")
                continue
            self.rightful.add(key)
            if self.evidence.objects.get(key) != sha256:
                there = key in self.evidence.objects
                self.out.wrong_objects.append(f"{what}: {'other bytes' if there else 'not in the bucket'}")
            elif rendition["state"] != "stored" or rendition["sha256"] != sha256:
                self.out.wrong_objects.append(f"{what}: in the bucket, but the ledger says {rendition['state']}")

    def _wanted_files(self, case: _Case) -> dict[Name, str]:
        """What must be in the bucket of this generation, and its SHA-256."""
        if not case.succeeded or case.dead:
            return {}
        bought = {"1080p": {"1080p"}, "4k": {"4k", "image"}}
        certain = set(case.upgrades) - self._uncertain_orders(case)
        kinds = {kind for upgrade in certain for kind in bought[upgrade]} | set(OWN)
        return {(kind, index): sha for (kind, index), sha in self.files.get(case.task_id, {}).items() if kind in kinds}

    # --- money ---------------------------------------------------------------------------------------------------------

    def _judge_purchases(self, case: _Case) -> None:
        out, row = self.out, self.evidence.shown.get(case.task_id)
        # Of a submission that nobody knows the outcome of nothing can be bought.
        told = row is not None and (case.planned.way is Way.SUBMITTED or case.task_id in self.evidence.promises.tracked)
        asked_for = set(case.upgrades) if told else set()
        charged = Counter((one["kind"], one["index"]) for one in case.purchases if one["credits"])
        out.purchases += charged.total()
        for (kind, index), times in charged.items():
            if times > 1:
                out.doubled_purchases.append(f"{case.task_id}: {kind}/{index} was bought {times} times")
            if kind not in asked_for:
                out.unasked_purchases.append(f"{case.task_id}: {kind}/{index}")
        renditions = {one["kind"]: one for one in row["renditions"]} if row else {}
        for kind in asked_for - self._uncertain_orders(case):
            sold = case.sold(kind)
            state = renditions.get(kind, {}).get("state")
            if not sold:
                out.forgotten_purchases.append(f"{case.task_id}: {kind} was never ordered ({state})")
            elif sold[0]["outcome"] == "success" and state != "stored":
                out.forgotten_purchases.append(f"{case.task_id}: {kind} was sold, and is {state}")

    def _uncertain_orders(self, case: _Case) -> set[str]:
        """Upgrades that were ordered once, where nobody can tell what came of it: no id was recorded, and no callback came."""
        row = self.evidence.shown.get(case.task_id)
        if row is None or case.record["form"] != "unified":
            return set()
        heard = {sold["kind"] for sold in case.purchases if any(one.get("status") == 200 for one in sold["deliveries"])}
        asked = {one["kind"] for one in row["renditions"] if one["state"] == "requested"}
        return asked - heard

    # --- manifests -----------------------------------------------------------------------------------------------------

    def _judge_manifest(self, task_id: str) -> None:
        shown = {"format": FORMAT, **self.evidence.shown[task_id]}
        manifest = self.evidence.manifests.get(task_id)
        if manifest is None:
            self.out.wrong_manifests.append(f"{task_id}: there is none")
        elif manifest != shown:
            other = [name for name, value in shown.items() if manifest.get(name) != value]
            self.out.wrong_manifests.append(f"{task_id}: {', '.join(other) or 'more in it'}")


def _index_files(books: Mapping[str, Any]) -> dict[str, dict[Name, str]]:
    files: dict[str, dict[Name, str]] = {}
    for row in books["files"].values():
        files.setdefault(row["taskId"], {})[row["kind"], row["index"]] = row["sha256"]
    return files
