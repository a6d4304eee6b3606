-- Writes a generation, or a submission, and its entries in the indexes, if it is still what the transition read.
-- ARGV: id, record as read, record as written, callbacks as read, callbacks settled, 1 if the record was read from the bucket,
--       and each with a count before it:
--       pairs (list, score or empty), triples (item, at or empty, place or empty), history entries, pairs (alias key, name),
--       pairs (account, credits), triples (time of news, what it is, 1 if repeats are folded), pairs (tally, amount);
--       last, without a count: the item that came through
local id, before, after = ARGV[1], ARGV[2], ARGV[3]
local record, inbox, history = record_key(id), P .. 'inbox:' .. id, P .. 'history:' .. id

-- Puts news on a timeline: `<time> <what>`, or, if it may be folded and the last line is the same, `<first> <times> <last> <what>`.
local function tell(timeline, when, what, folds)
  local first, rest = string.match(folds and redis.call('LINDEX', timeline, -1) or '', '^(%S+) (.*)$')
  local times, same = string.match(rest or '', '^(%d+) %S+ (.*)$')
  if rest and (same or rest) == what then
    redis.call('LSET', timeline, -1, first .. ' ' .. (times or 1) + 1 .. ' ' .. when .. ' ' .. what)
  else
    redis.call('RPUSH', timeline, when .. ' ' .. what)
  end
end

local current = redis.call('GET', record) or ''
-- Sent a second time after a time-out, though the first had arrived: all is written, messages included.
if current ~= before and current == after then return {'written'} end
if current ~= before then return {'conflict'} end
if redis.call('LLEN', inbox) ~= tonumber(ARGV[4]) then return {'conflict'} end
-- What has left for the bucket is brought back from there, and never begun anew.
if before == '' and after ~= '' then
  local leads_to = find_archived(id)
  local is_archived = leads_to and not string.find(leads_to, '/') or false
  if is_archived ~= (ARGV[6] == '1') then return {'conflict'} end
  if is_archived and not is_submission(id) then
    redis.call('HDEL', archive_key(id), id)
    redis.call('HINCRBY', P .. 'stats', 'archived', -1)
  end
end

if after ~= before then redis.call('SET', record, after) end
if tonumber(ARGV[5]) > 0 then redis.call('LTRIM', inbox, ARGV[5], -1) end

local at = 7
local function take()
  at = at + 1
  return ARGV[at - 1]
end

for _ = 1, tonumber(take()) do
  local list, score = take(), take()
  if score == '' then redis.call('ZREM', P .. list, id) else redis.call('ZADD', P .. list, score, id) end
end
for _ = 1, tonumber(take()) do
  local item, due, place = take(), take(), take()
  if place ~= '' then redis.call('HSET', P .. 'places', item, place) end
  if due == '' then
    forget(item)
  elseif tonumber(due) <= now then
    enqueue_once(item, place ~= '' and place or now)
  else
    wait_until(item, due)
  end
end

local kept = tonumber(take())
for _ = 1, kept do redis.call('RPUSH', history, take()) end
if kept > 0 then redis.call('LTRIM', history, -@HISTORY@, -1) end

for _ = 1, tonumber(take()) do
  local key, name = take(), take()
  redis.call('SET', P .. key, name)
end
for _ = 1, tonumber(take()) do
  local account, credits = take(), take()
  settle(account, tonumber(credits))
end

local told = tonumber(take())
for _ = 1, told do tell(P .. 'timeline:' .. id, take(), take(), take() == '1') end
if told > 0 then redis.call('LTRIM', P .. 'timeline:' .. id, -@TIMELINE@, -1) end
for _ = 1, tonumber(take()) do count(take(), take()) end
-- The item was worked on and its step has come through: what kept failing is forgotten.
local healed = take()
if healed ~= '' then clear_fault(healed) end
return {'written', unpack(sent)}
