-- Shared by all scripts. Upper-case names in at signs are filled in by redis_ledger.py.
--
-- An item is in one of two sorted sets of its lane: `due` (by the time at which somebody has to look at it: a retry, a poll, or the
-- end of a lease) or `sent` (by the time its message was put on the queue, until a worker takes it up). What is in `sent` is in
-- `urgent` too, by the time by which it should be done: that, and not the queue, says which is taken up first.
local P = '@PREFIX@'
local LANES = {@LANES@}
local MESSAGES = {@MESSAGES@}
local QUEUES = {@QUEUES@}
local BROKER_IS_HERE = @BROKER_IS_HERE@
local OWN_DB, BROKER_DB = '@OWN_DB@', '@BROKER_DB@'

-- When Redis's memory is nearly full, nothing new is taken in: what is left of it belongs to those who work off the backlog. On a
-- Redis that is quite full they could finish nothing, and Celery's workers end at the first message.
if @LEAVES_ROOM@ then
  local info = redis.pcall('INFO', 'memory')
  local function read(name) return tonumber(type(info) == 'string' and string.match(info, name .. ':(%d+)') or 0) end
  local most = read('maxmemory')
  if most > 0 then
    -- Buffers do not count towards the limit. What was taken in grows for a while, once it is known what is to be done about it.
    local used = read('used_memory') - read('mem_not_counted_for_evict') + @GROWTH@ * (redis.call('ZCARD', P .. 'sent:quick') + redis.call('ZCARD', P .. 'due:quick'))
    if used > @SHARE@ * most then return redis.error_reply('OOM nearly all of its memory is in use or spoken for') end
  end
end

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local sent = {}

local function step_of(item) return string.match(item, '^%a+') end
local function due_key(item) return P .. 'due:' .. LANES[step_of(item)] end
local function sent_key(item) return P .. 'sent:' .. LANES[step_of(item)] end
local function urgent_key(item) return P .. 'urgent:' .. LANES[step_of(item)] end

-- Runs a command on the broker's database. SELECT inside a script lasts no longer than the script.
local function on_broker(...)
  if OWN_DB == BROKER_DB then return redis.call(...) end
  redis.call('SELECT', BROKER_DB)
  local answer = redis.call(...)
  redis.call('SELECT', OWN_DB)
  return answer
end

-- Says by when an enqueued item should be done: if that is not given, and not known either, at its place if it has one, else in its
-- turn. It is never put off.
local function hurry(item, by)
  local known = redis.call('ZSCORE', urgent_key(item), item)
  if known and not by then return end
  by = tonumber(by or redis.call('HGET', P .. 'places', item) or now)
  if not known or by < tonumber(known) then redis.call('ZADD', urgent_key(item), by, item) end
end

-- Puts an item's message on the queue. Celery's task ids are the item and a running number: readable in Flower, and unique.
local function enqueue(item)
  redis.call('ZREM', due_key(item), item)
  redis.call('ZADD', sent_key(item), now, item)
  local id = string.gsub(item, '/', '.') .. '.' .. redis.call('INCR', P .. 'seq')
  if BROKER_IS_HERE then
    local step = step_of(item)
    on_broker('LPUSH', QUEUES[LANES[step]], MESSAGES[step](item, id))
  end
  sent[#sent + 1] = item .. ' ' .. id
end

local function enqueue_once(item, by)
  -- What goes out to the user's receiver is in no queue: whoever brings it there looks for it in `due`.
  if LANES[step_of(item)] == '@OUTGOING@' then return redis.call('ZADD', due_key(item), now, item) end
  hurry(item, by)
  if not redis.call('ZSCORE', sent_key(item), item) then enqueue(item) end
end

-- It waits for no worker any more.
local function unsend(item)
  redis.call('ZREM', urgent_key(item), item)
  return redis.call('ZREM', sent_key(item), item)
end

local function clear_fault(item)
  redis.call('HDEL', P .. 'faults', item)
  redis.call('HDEL', P .. 'fault_counts', item)
end

local function forget(item)
  clear_fault(item)
  redis.call('ZREM', due_key(item), item)
  redis.call('HDEL', P .. 'places', item)
  unsend(item)
end

local function wait_until(item, at)
  unsend(item)
  redis.call('ZADD', due_key(item), at, item)
end

-- Enqueues what has become due in a lane, at most so many. Gives how many there were.
local function enqueue_due(lane, most)
  local ready = redis.call('ZRANGEBYSCORE', P .. 'due:' .. lane, '-inf', now, 'LIMIT', 0, most)
  for _, item in ipairs(ready) do enqueue_once(item) end
  return #ready
end

-- Counts something: in all, and in this hour of the clock. What an hour counted is known for eight days.
local function count(name, amount)
  local hour = P .. 'hour:' .. math.floor(now / 3600)
  redis.call('HINCRBYFLOAT', P .. 'stats', name, amount)
  if tonumber(redis.call('HINCRBYFLOAT', hour, name, amount)) == tonumber(amount) then redis.call('EXPIRE', hour, 8 * 86400) end
end

-- A generation and a submission of ours are told apart by their ids.
local function is_submission(id) return string.find(id, '^sub_[0-9a-f]+$') and #id == 36 end
local function record_key(id) return P .. (is_submission(id) and 'sub:' or 'gen:') .. id end
local function item_of(id) return (is_submission(id) and 'submit/' or 'settle/') .. id end

-- The names of what has left for the bucket: of a generation's own id it says nothing, of any other name where it leads (a
-- submission: to its generation; the vendor's id of an upgrade: to its order). In many small hashes, since those take little room.
local function archive_key(name) return P .. 'archived:' .. string.sub(redis.sha1hex(name), 1, 4) end
local function find_archived(name) return redis.call('HGET', archive_key(name), name) end

-- Books what something costs on a day: `for:<name>` beside the totals of the day and of the name's step.
local function book(day, name, credits)
  local key = P .. 'budget:' .. day
  local more = credits - tonumber(redis.call('HGET', key, 'for:' .. name) or '0')
  redis.call('HSET', key, 'for:' .. name, credits)
  redis.call('HINCRBYFLOAT', key, 'total', more)
  redis.call('HINCRBYFLOAT', key, step_of(name), more)
  redis.call('EXPIRE', key, 3 * 86400)
end

-- What was reserved under a name has turned out to cost so much. Looks as far back as budgets are kept.
local function settle(name, credits)
  local today = math.floor(now / 86400)
  for day = today, today - 2, -1 do
    if redis.call('HEXISTS', P .. 'budget:' .. day, 'for:' .. name) == 1 then return book(day, name, credits) end
  end
end
