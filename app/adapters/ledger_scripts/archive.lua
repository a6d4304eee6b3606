-- Removes the record of a generation that is settled and whose manifest holds all of it, and what else there is of it, but for its
-- names; unless something has happened to it since it was judged.
-- ARGV, each with a count before it: pairs (id of a record, record as read: of the generation and of its submission),
--       pairs (name, where it leads), lists, items, keys of what leads to it
local at = 1
local function take()
  at = at + 1
  return ARGV[at - 1]
end

local ids = {}
for _ = 1, tonumber(take()) do
  local id, before = take(), take()
  if (redis.call('GET', record_key(id)) or '') ~= before then return 0 end
  if redis.call('EXISTS', P .. 'inbox:' .. id) == 1 then return 0 end
  ids[#ids + 1] = id
end
for _, id in ipairs(ids) do
  redis.call('DEL', record_key(id), P .. 'history:' .. id, P .. 'timeline:' .. id)
end

for _ = 1, tonumber(take()) do
  local name, leads_to = take(), take()
  redis.call('HSET', archive_key(name), name, leads_to)
end
for _ = 1, tonumber(take()) do redis.call('ZREM', P .. take(), ids[1]) end
for _ = 1, tonumber(take()) do forget(take()) end
for _ = 1, tonumber(take()) do redis.call('DEL', P .. take()) end
redis.call('HINCRBY', P .. 'stats', 'archived', 1)
return 1
