"""Writing to a ledger until its Redis dies, and ways for Redis to die: by SIGKILL, and by a power cut that is played.

A power cut takes what was written and not synced. To play one, a small library stands in front of the server's `fdatasync`
and notes how long the append-only file was when a sync began that then succeeded; after a SIGKILL the file is cut to that length.
That is the worst case: by itself the kernel may have put more of it on disk. The library can also stand for a disk whose syncs
take as long as one likes.
"""

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.adapters.redis_ledger import RedisLedger
from app.domain.errors import LedgerUnavailable
from app.domain.ledger import Entry, Route, Trust
from app.embedded.service import Service

#: as long as a real callback
RAW = '{"code":200,"msg":"Veo3.1 video generated successfully.","data":{"taskId":"%s","info":{"resultUrls":["https://%s"]}}}'
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int fdatasync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  struct stat before;
  int known = fstat(fd, &before) == 0;
  char link[64], name[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, name, sizeof name - 1);
  int is_log = known && length >= 4 && memcmp(name + length - 4, ".aof", 4) == 0;
  // What a server syncs to start at all is no log yet.
  const char *takes = is_log && before.st_size > 0 ? getenv("SYNC_TAKES") : NULL;
  int outcome = takes ? usleep(atoi(takes)) : real(fd);
  const char *noted = getenv("SYNCED_NOTE");
  if (!noted || outcome != 0 || !is_log) return outcome;
  char text[32];
  int size = snprintf(text, sizeof text, "%020lld", (long long)before.st_size);
  int note = open(noted, O_WRONLY | O_CREAT, 0600);
  if (note >= 0) {
    if (pwrite(note, text, size, 0) != size) abort();
    close(note);
  }
  return outcome;
}
"""


@dataclass
class Writers:
    """Threads that record callbacks, each under an id of its own, until the ledger is gone."""

    ledger: RedisLedger
    #: what the ids begin with
    name: str
    #: what was answered: id, and the time of the answer (`time.monotonic`)
    answered: list[tuple[str, float]] = field(default_factory=list)

    def write(self, thread: int) -> None:
        number = 0
        while True:
            task_id = f"{self.name}-{thread}-{number}"
            raw = RAW % (task_id, task_id)
            try:
                self.ledger.record(task_id, None, Entry(at=1.0, route=Route.GENERATION, trust=Trust.SIGNED, raw=raw))
            except LedgerUnavailable:
                return
            self.answered.append((task_id, time.monotonic()))
            number += 1

    @contextmanager
    def running(self, threads: int) -> Iterator[None]:
        """Write for the length of a block, in which the server has to die, or the threads never end."""
        running = [threading.Thread(target=self.write, args=(number,)) for number in range(threads)]
        for thread in running:
            thread.start()
        yield
        for thread in running:
            thread.join()


def die(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL: no handler runs, nothing is flushed."""
    process.kill()
    process.wait()


def can_play() -> bool:
    """Whether power cuts and slow disks can be played here: a C compiler is needed."""
    return shutil.which("cc") is not None


def build_shim(folder: Path) -> Path:
    """Compile the library that stands before `fdatasync`."""
    source, library = folder / "synced.c", folder / "synced.so"
    source.write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def with_syncs_of(seconds: float, service: Service, shim: Path) -> Service:
    """The server on a disk whose syncs take so long, and do nothing else."""
    env = {**service.env, "LD_PRELOAD": str(shim), "SYNC_TAKES": str(int(seconds * 1e6))}
    return replace(service, env=env)


@dataclass(frozen=True)
class Mains:
    """The power supply of one redis-server, whose folder is new."""

    folder: Path
    shim: Path

    def plug_in(self, service: Service) -> Service:
        """The server, to be started so that its power can be cut. It does not rewrite its file, whose length is what counts."""
        env = {**service.env, "LD_PRELOAD": str(self.shim), "SYNCED_NOTE": str(self._note)}
        return replace(service, argv=(*service.argv, "--auto-aof-rewrite-percentage", "0"), env=env)

    def cut(self, process: subprocess.Popen[bytes]) -> int:
        """Cut the power: the server dies, and what was not synced is gone. Gives the number of bytes that were lost."""
        die(process)
        [file] = [*self.folder.glob("appendonly.aof"), *self.folder.glob("appendonlydir/*.incr.aof")]
        written, synced = file.stat().st_size, int(self._note.read_text()) if self._note.exists() else 0
        with file.open("r+b") as opened:
            opened.truncate(synced)
        return written - synced

    @property
    def _note(self) -> Path:
        return self.folder / "synced"
