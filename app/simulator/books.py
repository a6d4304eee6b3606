"""The simulator's own count of everything, to hold a client's claims against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.simulator.records import Generation, Upgrade
from app.simulator.vendor import Vendor


def write_books(vendor: Vendor, requests: Mapping[str, int]) -> dict[str, Any]:
    """Everything as JSON; times are epoch seconds. What it cannot say by its names:

    - `credits`: by the price list; `creditsConsumed`: what was taken
    - `purchases`: one row an order, so that one that was doubled shows as two
    - `asks` of a purchase: requests that ordered it or asked about it, by get-1080p, get-4k or details of its own id
    - `creations`: when a generation, an extension or an order was made; those of the dedicated form that only ask are none
    - `rateLimited`: requests that were refused with 429, but for those that the weather refused
    - `fileFaults`: fetches that met a fault, by its name; `dead`: by an address that is none any more

    :param requests: counts of those received, by endpoint
    """
    shelf = vendor.shelf
    return {
        "generations": {task_id: _generation(vendor, known) for task_id, known in vendor.generations.items()},
        "purchases": [_purchase(vendor, upgrade) for upgrade in vendor.orders],
        "asked": [
            {"taskId": task_id, "index": index, "kind": kind, "count": count}
            for (task_id, index, kind), count in vendor.upgrades_asked.items()
        ],
        "files": _files(vendor),
        "fetches": {path: {"count": count, "bytes": shelf.sent[path]} for path, count in shelf.fetched.items()},
        "fileFaults": {name: count for name, count in shelf.faulted.items() if count},
        "details": dict(vendor.details_asked),
        "requests": dict(requests),
        "creations": vendor.gate.creations,
        "rateLimited": vendor.gate.rate_limited,
        "creditsLeft": vendor.credits,
    }


def _generation(vendor: Vendor, generation: Generation) -> dict[str, Any]:
    outcome = generation.outcome(vendor.clock())
    done = outcome == "success"
    urls = vendor.shelf.first_urls
    return {
        "scenario": generation.scenario_name,
        "prompt": generation.params["prompt"],
        "parent": generation.parent,
        "form": generation.form,
        "hasCallback": generation.callback_url is not None,
        "credits": generation.credits,
        "creditsConsumed": generation.charged,
        "createdAt": generation.created_at,
        "outcome": outcome,
        "resultUrls": urls(generation.results) if done else [],
        "originUrls": urls(generation.origins) if done else [],
        "fullResultUrls": urls(generation.fulls) if done else [],
        "deliveries": list(generation.deliveries),
    }


def _purchase(vendor: Vendor, upgrade: Upgrade) -> dict[str, Any]:
    outcome = upgrade.outcome(vendor.clock())
    done = outcome == "success"
    own_id = upgrade.task_id != upgrade.parent.task_id
    urls = vendor.shelf.first_urls
    return {
        "taskId": upgrade.parent.task_id,
        "index": upgrade.index,
        "kind": upgrade.kind,
        "form": upgrade.form,
        "hasCallback": upgrade.callback_url is not None,
        "credits": upgrade.credits,
        "creditsConsumed": upgrade.charged,
        "at": upgrade.created_at,
        "asks": len(upgrade.asked_at),
        "askedAt": list(upgrade.asked_at),
        "newTaskId": upgrade.task_id if own_id else None,
        "outcome": outcome,
        "resultUrls": urls(upgrade.videos) if done else [],
        "imageUrls": urls(upgrade.images) if done else [],
        "deliveries": list(upgrade.deliveries),
    }


def _files(vendor: Vendor) -> dict[str, Any]:
    now = vendor.clock()
    return {
        path: {
            "taskId": link.file.task_id,
            "kind": link.file.kind,
            "index": link.file.index,
            "bytes": link.file.size,
            "sha256": link.file.sha256,
        }
        for path, link in vendor.shelf.links.items()
        if link.file.made_at <= now
    }
