-- Takes one of the slots that a sliding window has, by this server's clock: never more than so many in any window.
-- Whoever has to wait gets a turn, in the order of coming: the time at which a slot is free for it behind those before it.
-- ARGV: name, slots, window in seconds, item, seconds after which a turn that nobody took is forgotten, whether it waits (1 or 0).
-- Answers the slot's name and nothing, or nothing and the time of the item's turn.
local name, slots, window, item, late = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local taken, line, turns = P .. 'slots:' .. name, P .. 'line:' .. name, P .. 'turns:' .. name
redis.call('ZREMRANGEBYSCORE', taken, '-inf', now - window)
for _, lost in ipairs(redis.call('ZRANGEBYSCORE', turns, '-inf', now - late)) do
  redis.call('ZREM', turns, lost)
  redis.call('ZREM', line, lost)
end

-- The place in the line says which slot is this item's: one that is free now, or one that is free a window after it was taken.
local place = redis.call('ZRANK', line, item) or redis.call('ZCARD', line)
local free = math.max(0, slots - redis.call('ZCARD', taken))
local nth, rounds = place % slots, math.floor(place / slots)
local at = now
if nth >= free then at = tonumber(redis.call('ZRANGE', taken, nth - free, nth - free, 'WITHSCORES')[2]) + window end
at = math.max(at, tonumber(redis.call('GET', P .. 'paused:' .. name) or '0')) + rounds * window

if at <= now then
  local slot = redis.call('INCR', P .. 'seq')
  redis.call('ZREM', line, item)
  redis.call('ZREM', turns, item)
  redis.call('ZADD', taken, now, slot)
  redis.call('EXPIRE', taken, math.ceil(window) + 1)
  return {tostring(slot), ''}
end
if ARGV[6] == '1' then
  redis.call('ZADD', line, 'NX', redis.call('INCR', P .. 'seq'), item)
  redis.call('ZADD', turns, at, item)
  local longest = redis.call('ZRANGE', turns, -1, -1, 'WITHSCORES')[2]
  for _, key in ipairs({line, turns}) do redis.call('EXPIRE', key, math.ceil(tonumber(longest) - now + late) + 1) end
end
return {'', string.format('%.6f', at)}
