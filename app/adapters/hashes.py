"""The hashes of a file that arrives."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

#: bytes that are handed over at once to where the MD5 is made; twice as many may wait in memory
BATCH = 2 * 1024 * 1024


class Hashes:
    """SHA-256, and MD5 if it is wanted.

    MD5 takes more than twice as long as SHA-256 (measured, OpenSSL 3: 770 and 1,800 MiB/s). Of a large file it is made beside,
    by a thread of its own, so that the source is not slowed down.
    """

    def __init__(self, *, with_md5: bool, beside: bool) -> None:
        """Of nothing yet. :param beside: make the MD5 in a thread"""
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if with_md5 else None
        self._worker = ThreadPoolExecutor(1, "download-md5") if with_md5 and beside else None
        self._batch: list[bytes] = []
        self._held = 0
        self._running: Future[None] | None = None

    def update(self, chunk: bytes) -> None:
        """Take in what comes next."""
        self._sha256.update(chunk)
        if self._md5 is None:
            return
        if self._worker is None:
            self._md5.update(chunk)
            return
        self._batch.append(chunk)
        self._held += len(chunk)
        if self._held >= BATCH:
            self._hand_over(self._worker)

    @property
    def sha256(self) -> str:
        """Lower-case hex."""
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        """Lower-case hex; empty if it is not wanted."""
        if self._md5 is None:
            return ""
        if self._worker is not None:
            self._hand_over(self._worker).result()
        return self._md5.hexdigest()

    def close(self) -> None:
        """Make no more of them."""
        if self._worker is not None:
            self._worker.shutdown(cancel_futures=True)

    def _hand_over(self, worker: ThreadPoolExecutor) -> Future[None]:
        if self._running is not None:
            self._running.result()
        self._running = worker.submit(self._feed, self._batch)
        self._batch, self._held = [], 0
        return self._running

    def _feed(self, batch: Sequence[bytes]) -> None:
        assert self._md5 is not None
        for chunk in batch:
            self._md5.update(chunk)
