-- Reserves credits of the UTC day's budget for an item: once, however often it is asked for, and never over the budget.
-- ARGV: item, credits, budget. Answers 1, or 0 and the time at which the next day begins.
local day = math.floor(now / 86400)
local key = P .. 'budget:' .. day
if redis.call('HEXISTS', key, ARGV[1]) == 1 then return {'1', ''} end
local reserved = tonumber(redis.call('HGET', key, 'total') or '0')
if reserved + tonumber(ARGV[2]) > tonumber(ARGV[3]) then return {'0', tostring((day + 1) * 86400)} end
redis.call('HSET', key, ARGV[1], ARGV[2])
redis.call('HINCRBYFLOAT', key, 'total', ARGV[2])
redis.call('EXPIRE', key, 3 * 86400)
return {'1', ''}
