"""A million generations in a minute: one that real steps have brought about, copied under other ids.

What is packed is packed anew for the first of them alone, for that takes longer than all the rest; the others have the same texts
in turn, which are no shorter or longer than their own would be.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import redis

from app.adapters.packing import pack, unpack
from app.embedded.redis_server import redis_server
from app.embedded.service import free_port, running

PREFIX = "reelkeep:"
BATCH = 1000
#: copies that have packed texts of their own
PACKED = 10_000
#: seconds between the times of two copies on the lists
APART = 0.01
#: KEYS: none. ARGV: the model's id, how many names of texts, those; how many of lists, those; how many of sorted sets, those; and
#: for each copy its name, its place and its texts. Lists are copied as they are; a member of a sorted set is renamed.
_COPY = """
local at = 1
local function take() at = at + 1; return ARGV[at - 1] end
local function take_all() local all = {}; for _ = 1, tonumber(take()) do all[#all + 1] = take() end; return all end
local model, texts, lists, sets = take(), take_all(), take_all(), take_all()
local lines, members = {}, {}
for _, name in ipairs(lists) do lines[name] = redis.call('LRANGE', name .. model, 0, -1) end
for _, key in ipairs(sets) do
  local member = take()
  members[key] = {member, redis.call('ZSCORE', key, member)}
end
while at <= #ARGV do
  local name, earlier = take(), tonumber(take())
  for _, key in ipairs(texts) do
    if string.find(key, 'history') then redis.call('RPUSH', key .. name, take()) else redis.call('SET', key .. name, take()) end
  end
  for _, key in ipairs(lists) do redis.call('RPUSH', key .. name, unpack(lines[key])) end
  for key, of in pairs(members) do
    redis.call('ZADD', key, of[2] - earlier, (string.gsub(of[1], model, name)))
  end
end
"""


@contextmanager
def roomy_redis(folder: Path) -> Iterator[tuple[redis.Redis, str]]:
    """A Redis that holds as many as are put there, and writes nothing to disk; and its URL."""
    port = free_port()
    with running(redis_server(folder, port), folder / "redis.log"):
        client = redis.Redis(port=port, decode_responses=True)
        client.config_set("appendonly", "no")
        client.config_set("maxmemory", 0)
        yield client, f"redis://127.0.0.1:{port}/0"


def name_of(number: int) -> str:
    """An id as the vendor's look."""
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class _Text:
    key: str
    text: str
    packed: bool

    def under(self, model: str, number: int) -> str:
        return self._pack(model, number % PACKED) if self.packed else self._rename(model, number)

    @cache  # noqa: B019  # there are two or three of these, in a process that ends soon
    def _pack(self, model: str, number: int) -> str:
        return pack(self._rename(model, number))

    def _rename(self, model: str, number: int) -> str:
        # The file's checksum is one of its own too: what repeats would be packed all too well.
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        return self.text.replace(model, name_of(number)).replace("ab" * 32, digest)


def copy(client: redis.Redis, model: str, count: int) -> None:
    """Have so many more generations that stand as one does, each tracked a little earlier than the one before."""
    asking: Any = client
    texts: list[_Text] = []
    lists: list[str] = []
    sets: dict[str, str] = {}
    for key in asking.scan_iter(f"{PREFIX}*"):
        kind, prefix = asking.type(key), key.removesuffix(model)
        if key.endswith(f":{model}") and key.startswith(f"{PREFIX}timeline:"):
            lists.append(prefix)
        elif key.endswith(f":{model}"):
            raw = asking.get(key) if kind == "string" else asking.lindex(key, 0)
            texts.append(_Text(prefix, unpack(raw), raw != unpack(raw)))
        elif kind == "zset":
            for member in (member for member in asking.zrange(key, 0, -1) if model in member):
                sets[key] = member
    head = [model, *_counted([text.key for text in texts]), *_counted(lists), *_counted(list(sets)), *sets.values()]
    script = client.register_script(_COPY)
    for first in range(0, count, BATCH):
        numbers = range(first, min(first + BATCH, count))
        script(args=[*head, *_arguments(texts, model, numbers)])


def _counted(words: list[str]) -> list[str | int]:
    return [len(words), *words]


def _arguments(texts: list[_Text], model: str, numbers: range) -> Iterator[str | float]:
    for number in numbers:
        yield name_of(number)
        yield APART * (number + 1)
        yield from (text.under(model, number) for text in texts)
