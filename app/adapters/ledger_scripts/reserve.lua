-- Reserves credits of the UTC day: once for each name, however often it is asked for, and never over a budget.
-- ARGV: name, credits, budget of the day or empty, budget of the day for the name's step or empty.
-- Answers 1, or 0 and the time at which the next day begins.
local name, credits = ARGV[1], tonumber(ARGV[2])
local day = math.floor(now / 86400)
local key, step = P .. 'budget:' .. day, step_of(name)
local more = credits - tonumber(redis.call('HGET', key, 'for:' .. name) or '0')
if more <= 0 then return {'1', ''} end

for total, budget in pairs({total = ARGV[3], [step] = ARGV[4]}) do
  local reserved = tonumber(redis.call('HGET', key, total) or '0')
  if budget ~= '' and reserved + more > tonumber(budget) then return {'0', tostring((day + 1) * 86400)} end
end
book(day, name, credits)
return {'1', ''}
