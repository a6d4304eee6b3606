-- Takes one of the slots that a sliding window has, by this server's clock: never more than so many in any window.
-- Whoever has to wait gets a turn, so that each comes back when a slot is free for it and not before.
-- ARGV: name, slots, window in seconds, item, seconds after which a turn that nobody took is forgotten.
-- Answers empty, or the time of the item's turn.
local name, slots, window, item = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local taken, line = P .. 'slots:' .. name, P .. 'line:' .. name
redis.call('ZREMRANGEBYSCORE', taken, '-inf', now - window)
redis.call('ZREMRANGEBYSCORE', line, '-inf', now - tonumber(ARGV[5]))

-- The place in the line says which slot is this item's: one that is free now, or one that is free a window after it was taken.
local place = redis.call('ZRANK', line, item) or redis.call('ZCARD', line)
local stamps = redis.call('ZRANGE', taken, 0, slots - 1, 'WITHSCORES')
local free = slots - #stamps / 2
local nth, rounds = place % slots, math.floor(place / slots)
local at = now
if nth >= free then at = tonumber(stamps[2 * (nth - free + 1)]) + window end
at = math.max(at + rounds * window, tonumber(redis.call('GET', P .. 'paused:' .. name) or '0'))

if at <= now then
  redis.call('ZREM', line, item)
  redis.call('ZADD', taken, now, redis.call('INCR', P .. 'seq'))
  redis.call('EXPIRE', taken, math.ceil(window) + 1)
  return ''
end
redis.call('ZADD', line, at, item)
redis.call('EXPIRE', line, math.ceil(at - now + tonumber(ARGV[5])))
return string.format('%.6f', at)
