-- Enqueues, in one lane, what has become due and what was enqueued but is gone from the queue.
-- ARGV: lane, most items of each sort, seconds after which a missing message counts as lost, queue length (empty: count it here)
local lane, batch, grace = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local waiting = P .. 'sent:' .. lane

-- Lost messages: more items wait for a worker than messages wait in the queue. A message stands for any item of its lane, so that
-- as many are sent as are missing, whichever were lost, and a long backlog is never enqueued twice.
local depth = tonumber(ARGV[4]) or on_broker('LLEN', QUEUES[lane])
local missing = math.min(redis.call('ZCARD', waiting) - depth, batch)
local rescued = 0
if missing > 0 then
  for _, item in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', now - grace, 'LIMIT', 0, missing)) do
    hurry(item)
    enqueue(item)
    rescued = rescued + 1
  end
end

local ready = enqueue_due(lane, batch)
if rescued > 0 then count('rescued', tostring(rescued)) end
return {ready, rescued, unpack(sent)}
