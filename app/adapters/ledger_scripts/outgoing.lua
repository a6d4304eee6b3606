-- Says whose event should go out next. It is due again in a moment in case that the worker dies before it has claimed it.
-- ARGV: seconds until then. Answers an item, or nothing and the seconds until there will be one (empty: none is waiting).
local due = P .. 'due:@OUTGOING@'
local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
if not first[1] then return {'', ''} end
if tonumber(first[2]) > now then return {'', string.format('%.6f', tonumber(first[2]) - now)} end
redis.call('ZADD', due, now + tonumber(ARGV[1]), first[1])
return {first[1], ''}
