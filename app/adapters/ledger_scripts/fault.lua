-- A step failed in a way that it could not write down itself. Shows it, and looks at the item again later and later.
-- ARGV: item, reason
local item = ARGV[1]
local times = redis.call('HINCRBY', P .. 'fault_counts', item, 1)
redis.call('HSET', P .. 'faults', item, times .. ' times: ' .. ARGV[2])
wait_until(item, now + math.min(3600, 2 ^ math.min(times, 12)))
