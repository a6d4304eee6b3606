"""One URL copied into a bucket again and again in this process, by Reelkeep's path for bytes or by less than that.

    python -m tests.bench.peers.copies HOW URL COUNT

Prints a line of JSON: seconds, CPU seconds, and how many bytes the peak of memory grew by. The bucket is `bench`, where boto3's
variables lead.
"""

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from uuid import uuid4

BUCKET = "bench"


def reelkeep(url: str) -> Callable[[int], None]:
    """Everything that a mirror process does for a rendition but the ledger: guard, hash, check, put, have it confirmed."""
    from app.adapters.bucket import S3Bucket
    from app.adapters.download_policy import DownloadPolicy
    from app.adapters.downloader import Downloader

    policy = DownloadPolicy(("127.0.0.1",), insecure=True, max_bytes=4 * 1024**3, deadline=900, min_rate=16384)
    bucket = S3Bucket(BUCKET)
    downloader = Downloader(policy, threading.Event(), wants_md5=bucket.wants_md5)
    assert bucket.client  # made on first use: part of a process that has done something, not of the first copy

    def copy(number: int) -> None:
        with downloader.fetch(url, parts=bucket.parts(f".parts/{number}/")) as download:
            bucket.put_file(f"{uuid4()}.mp4", download, {"sha256": download.sha256})

    return copy


def bare(url: str) -> Callable[[int], None]:
    """`requests.get` and `put_object`: whole files in memory, no check."""
    import boto3
    import requests

    client, session = boto3.client("s3"), requests.Session()

    def copy(number: int) -> None:
        client.put_object(Bucket=BUCKET, Key=f"{uuid4()}.mp4", Body=session.get(url, timeout=60).content)

    return copy


def plain(url: str) -> Callable[[int], None]:
    """A stream from `requests` into `upload_fileobj`: what most write first."""
    import boto3
    import requests

    client, session = boto3.client("s3"), requests.Session()

    def copy(number: int) -> None:
        with session.get(url, stream=True, timeout=60) as answer:
            client.upload_fileobj(answer.raw, BUCKET, f"{uuid4()}.mp4")

    return copy


def main(how: str, url: str, count: int) -> None:
    """Copy once to be warm, then measure."""
    copy = {"reelkeep": reelkeep, "bare": bare, "plain": plain}[how](url)
    memory = _resident()
    copy(-1)
    cpu, began = time.process_time(), time.perf_counter()
    for number in range(count):
        copy(number)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "grown": peak - memory}))


def _resident() -> int:
    """Bytes of memory that this process has now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
