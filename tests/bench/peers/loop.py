"""The bare loop: each URL fetched by `requests.get` and stored by `put_object`, in threads. No check, no record, no queue.

    python -m tests.bench.peers.loop BUCKET THREADS < URLS

Says "ready" once it is warm, begins at the first line of URLs, and says "done" after the last one. boto3's variables lead to the
store.
"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import boto3
import requests
from botocore.config import Config


def main(bucket: str, threads: int) -> None:
    """Copy what the lines name; several lines at once."""
    client = boto3.client("s3", config=Config(max_pool_connections=threads))
    local = threading.local()

    def copy(url: str) -> None:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        answer = local.session.get(url, timeout=60)
        answer.raise_for_status()
        client.put_object(Bucket=bucket, Key=f"bare/{uuid4()}.mp4", Body=answer.content)

    with ThreadPoolExecutor(threads) as pool:
        client.put_object(Bucket=bucket, Key="bare/warm", Body=b"")
        print("ready", flush=True)
        for line in sys.stdin:
            list(pool.map(copy, line.split()))
            print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
