-- Writes a generation and its entries in the indexes, if it is still what the transition read.
-- ARGV: task id, generation as read, generation as written, callbacks as read, callbacks settled, state before, state after, tracked at,
--       count and pairs (item, at or empty), count and history entries, count and pairs (alias key, name), item that came through
local task_id, before, after = ARGV[1], ARGV[2], ARGV[3]
local generation, inbox, history = P .. 'gen:' .. task_id, P .. 'inbox:' .. task_id, P .. 'history:' .. task_id

local current = redis.call('GET', generation) or ''
-- Sent a second time after a time-out, though the first had arrived: all is written, messages included.
if current ~= before and current == after then return {'written'} end
if current ~= before then return {'conflict'} end
if redis.call('LLEN', inbox) ~= tonumber(ARGV[4]) then return {'conflict'} end

if after ~= before then redis.call('SET', generation, after) end
if tonumber(ARGV[5]) > 0 then redis.call('LTRIM', inbox, ARGV[5], -1) end
if ARGV[6] ~= ARGV[7] then
  if ARGV[6] ~= '' then redis.call('ZREM', P .. 'state:' .. ARGV[6], task_id) end
  redis.call('ZADD', P .. 'state:' .. ARGV[7], ARGV[8], task_id)
  redis.call('ZADD', P .. 'tracked', ARGV[8], task_id)
end

local at = 9
local function take()
  at = at + 1
  return ARGV[at - 1]
end

for _ = 1, tonumber(take()) do
  local item, due = take(), take()
  if due == '' then
    forget(item)
  elseif tonumber(due) <= now then
    enqueue_once(item)
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
-- The item was worked on and its step has come through: what kept failing is forgotten.
local healed = take()
if healed ~= '' then clear_fault(healed) end
return {'written', unpack(sent)}
