-- Says what a worker does that has a message in its hands. The queue says only how much there is to do in a lane: whichever item of
-- it should be done first is taken up, and is due again in a moment in case that the worker dies before it has claimed it.
-- ARGV: the item that the message was sent for, seconds until then. Answers an item.
-- ARGV for a worker that is done with an item and has no further message: that item, seconds, 1. It takes one off the queue here.
-- Answers an item, or an empty text: nothing waits.
local lane = LANES[step_of(ARGV[1])]
local urgent = P .. 'urgent:' .. lane
local goes_on = ARGV[3] == '1'
if goes_on and not on_broker('RPOP', QUEUES[lane]) then return '' end
-- It stands in line as all others do, also if it was enqueued by a version that knew no line.
if redis.call('ZSCORE', P .. 'sent:' .. lane, ARGV[1]) then hurry(ARGV[1]) end
local first = redis.call('ZRANGE', urgent, 0, 0)[1]
-- Nothing waits: the message was one too many. Whether there is work shows at the claim.
if not first then return goes_on and '' or ARGV[1] end
redis.call('HSET', P .. 'health', 'picked:' .. lane, now)
redis.call('ZREM', urgent, first)
if redis.call('ZREM', P .. 'sent:' .. lane, first) == 1 then
  redis.call('ZADD', P .. 'due:' .. lane, now + tonumber(ARGV[2]), first)
end
return first
