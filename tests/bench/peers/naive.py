"""The usual webhook handler: parse, send a Celery task, answer. No signature, no record, no deduplication."""

import os

from celery import Celery
from flask import Flask, request

celery = Celery("naive", broker=os.environ["REELKEEP_REDIS_URL"])
celery.conf.task_ignore_result = True
app = Flask("naive")


@app.post("/callbacks/veo")
def receive() -> dict[str, object]:
    body = request.get_json()
    celery.send_task("naive.handle", kwargs={"task_id": body["data"]["taskId"]}, queue="naive")
    return {"code": 200, "msg": "success"}
