"""The webhook handler as tutorials show it: the whole body as the task's argument, and a place for results."""

import os

from celery import Celery
from flask import Flask, request

URL = os.environ["REELKEEP_REDIS_URL"]
celery = Celery("usual", broker=URL, backend=URL)
app = Flask("usual")


@app.post("/callbacks/veo")
def receive() -> dict[str, object]:
    celery.send_task("usual.handle", args=[request.get_json()])
    return {"code": 200, "msg": "success"}
