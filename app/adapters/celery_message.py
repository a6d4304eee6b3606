"""Celery's message, written without Celery.

One Lua script records a callback, indexes it and enqueues the work. That needs the text of the message beforehand: task
protocol 2, as kombu's Redis transport lays it on the list. A contract test compares it with what Celery itself sends.
"""

import json
from typing import Any

from app.domain.work import LANES, Step, task_name

#: replaced by the item's text and by the Celery task's id
ITEM, ID = "@ITEM@", "@ID@"


def message_template(step: Step) -> str:
    """The message that has a worker do a step, with placeholders for the item and the Celery task's id."""
    kwargs = {"item": ITEM}
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    headers: dict[str, Any] = {
        "lang": "py",
        "task": task_name(step),
        "id": ID,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": ID,
        "parent_id": None,
        "argsrepr": "()",
        "kwargsrepr": repr(kwargs),
        "origin": "reelkeep",
        "ignore_result": True,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
    properties = {
        "correlation_id": ID,
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": LANES[step].queue},
        "priority": 0,
        "delivery_tag": ID,
    }
    message = {
        "body": json.dumps([[], kwargs, embed]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    }
    return json.dumps(message)
