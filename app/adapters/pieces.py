"""Keeping the pieces of a large file while it arrives, and taking up those that somebody else has kept.

`docs/decisions/0009-resumed-transfers.md` says why it is done this way.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import BinaryIO, Self

from app.adapters.download_policy import DownloadPolicy
from app.adapters.resume import Body
from app.domain.errors import StoreUnavailable
from app.domain.ports import Parts
from app.logs import log_event


class Keeper:
    """Reads whole pieces back from the file and keeps them, from a thread of its own: a slow store does not slow the source.

    The last, incomplete piece is not kept. What cannot be kept is only fetched again.
    """

    def __init__(self, parts: Parts, version: str, file: BinaryIO, piece: int, first: int) -> None:
        """Begins at once. :param piece: bytes of one :param first: number of the first one that is not kept yet"""
        self._parts, self._version, self._piece, self._next = parts, version, piece, first
        # A file descriptor of its own: the number of one that was closed may be another file's by then.
        self._file = os.dup(file.fileno())
        self._source = file
        self._arrived = 0
        self._changed = threading.Condition()
        self._ending = self._giving_up = False
        self._thread = threading.Thread(target=self._run, name="download-keeper", daemon=True)
        self._thread.start()

    def note(self, size: int) -> None:
        """So many bytes of the file have arrived."""
        if size // self._piece > self._arrived // self._piece:
            self._source.flush()
            with self._changed:
                self._arrived = size
                self._changed.notify()

    def end(self, *, give_up: bool, wait: bool = True) -> None:
        """Nothing more arrives. :param give_up: leave what is not kept yet :param wait: until nothing is under way any more"""
        with self._changed:
            self._ending, self._giving_up = True, give_up
            self._changed.notify()
        if wait:
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._await_piece():
                piece = os.pread(self._file, self._piece, self._next * self._piece)
                if len(piece) != self._piece:
                    return
                self._parts.keep(self._version, self._next, piece)
                self._next += 1
        except (StoreUnavailable, OSError) as error:
            log_event("download.unkept", error=str(error))
        finally:
            os.close(self._file)

    def _await_piece(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._ending or self._is_there())
            return self._is_there() and not self._giving_up

    def _is_there(self) -> bool:
        return self._arrived >= (self._next + 1) * self._piece


class Pieces:
    """The pieces of one transfer; none at all if the file is small, cannot be recognised, or nobody keeps any."""

    def __init__(self, parts: Parts | None, policy: DownloadPolicy, stop: threading.Event) -> None:
        self._parts, self._policy, self._stop = parts, policy, stop
        self._keeper: Keeper | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After a failure all that has come is kept for the next attempt, unless the process has no time for it.
        self._end(give_up=error is None or self._stop.is_set())

    def begin(self, body: Body) -> Sequence[str]:
        """A file begins. Gives the names of its pieces that were kept before; if there are any, they are to be recalled."""
        self._end(give_up=True)
        if self._parts is None or not body.validator or body.total is None or body.total <= self._policy.large:
            return ()
        try:
            names = self._parts.find(body.version(self._policy.piece))
        except StoreUnavailable as error:
            log_event("download.unkept", error=str(error))
            return ()
        if not names:
            self._start(body)
        return names[: (body.total - 1) // self._policy.piece]  # something is left to be asked for

    def recall(self, names: Sequence[str], body: Body) -> Iterator[int]:
        """Take pieces in again, as far as they are good; gives the length of each. Those that follow are kept as before."""
        if not names or self._parts is None:
            return
        for name in names:
            try:
                piece = self._parts.read(name)
            except StoreUnavailable as error:
                log_event("download.unkept", error=str(error))
                break
            body.append(piece)
            yield len(piece)
        self._start(body)

    def note(self, size: int) -> None:
        """So many bytes of the file have arrived."""
        if self._keeper is not None:
            self._keeper.note(size)

    def discard(self) -> None:
        """Forget all pieces: what they make is of no use."""
        if self._parts is not None and self._keeper is not None:
            try:
                self._parts.discard()
            except StoreUnavailable as error:
                log_event("download.unkept", error=str(error))

    def _start(self, body: Body) -> None:
        assert self._parts is not None
        piece = self._policy.piece
        self._keeper = Keeper(self._parts, body.version(piece), body.file, piece, body.size // piece)

    def _end(self, *, give_up: bool) -> None:
        if self._keeper is not None:
            self._keeper.end(give_up=give_up, wait=not self._stop.is_set())
