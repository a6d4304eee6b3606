-- Writes a generation, or a submission, and its entries in the indexes, if it is still what the transition read.
-- ARGV: id, record as read, record as written, callbacks as read, callbacks settled, state before, state after (empty: in no list), tracked at,
--       count and triples (item, at or empty, place or empty), count and history entries, count and pairs (alias key, name), count and pairs (account, credits), item that came through
local id, before, after = ARGV[1], ARGV[2], ARGV[3]
local record, inbox, history = record_key(id), P .. 'inbox:' .. id, P .. 'history:' .. id

local current = redis.call('GET', record) or ''
-- Sent a second time after a time-out, though the first had arrived: all is written, messages included.
if current ~= before and current == after then return {'written'} end
if current ~= before then return {'conflict'} end
if redis.call('LLEN', inbox) ~= tonumber(ARGV[4]) then return {'conflict'} end

if after ~= before then redis.call('SET', record, after) end
if tonumber(ARGV[5]) > 0 then redis.call('LTRIM', inbox, ARGV[5], -1) end
if ARGV[6] ~= ARGV[7] then
  if ARGV[6] ~= '' then redis.call('ZREM', P .. 'state:' .. ARGV[6], id) end
  if ARGV[7] ~= '' then
    redis.call('ZADD', P .. 'state:' .. ARGV[7], ARGV[8], id)
    redis.call('ZADD', P .. 'tracked', ARGV[8], id)
  else
    redis.call('ZREM', P .. 'tracked', id)
  end
end

local at = 9
local function take()
  at = at + 1
  return ARGV[at - 1]
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
-- The item was worked on and its step has come through: what kept failing is forgotten.
local healed = take()
if healed ~= '' then clear_fault(healed) end
return {'written', unpack(sent)}
