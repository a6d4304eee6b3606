-- Takes one of the slots that a sliding window has, by this server's clock: never more than so many in any window.
-- ARGV: name, slots, window in seconds. Answers empty, or the time at which a slot is free.
local key, slots, window = P .. 'slots:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
if redis.call('ZCARD', key) >= slots then
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return string.format('%.6f', tonumber(first[2]) + window)
end
redis.call('ZADD', key, now, redis.call('INCR', P .. 'seq'))
redis.call('EXPIRE', key, math.ceil(window) + 1)
return ''
