-- Says what a worker does that has a message in its hands. The queue says only how much there is to do in a lane: whichever item of
-- it should be done first is taken up, and is due again in a moment in case that the worker dies before it has claimed it.
-- ARGV: the item that the message was sent for, seconds until then. Answers an item.
local first = redis.call('ZRANGE', urgent_key(ARGV[1]), 0, 0)[1]
-- Nothing waits: the message was one too many, or an older version sent it. Whether there is work shows at the claim.
if not first then return ARGV[1] end
redis.call('HSET', P .. 'health', 'picked:' .. LANES[step_of(first)], now)
if unsend(first) == 1 then redis.call('ZADD', due_key(first), now + tonumber(ARGV[2]), first) end
return first
