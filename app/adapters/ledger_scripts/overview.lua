-- All that the first screen shows. Changes nothing, and costs the same however many generations there are.
-- ARGV: most of those at risk, hours, and with spaces between: states, lanes, names of the day's totals.
-- Answers the time, counts, risks, their records, totals, tallies by hour, health, some faults, what has waited longest in each lane, and
-- whose events wait: how many there are, and since when the first does.
local function each(text, ask)
  local answers = {}
  for word in string.gmatch(text, '%S+') do answers[#answers + 1] = ask(word) end
  return answers
end

local counts = each(ARGV[3], function(state) return redis.call('ZCARD', P .. 'state:' .. state) end)
counts[#counts + 1] = redis.call('ZCARD', P .. 'uncertain')
counts[#counts + 1] = redis.call('ZCARD', P .. 'risk')

local risks, records = redis.call('ZRANGE', P .. 'risk', 0, ARGV[1] - 1, 'WITHSCORES'), {}
for place = 1, #risks, 2 do records[#records + 1] = redis.call('GET', record_key(risks[place])) end

local budget = P .. 'budget:' .. math.floor(now / 86400)
local totals = each(ARGV[5], function(name) return redis.call('HGET', budget, name) end)

local hours, present = {}, math.floor(now / 3600)
for hour = present - ARGV[2] + 1, present do hours[#hours + 1] = redis.call('HGETALL', P .. 'hour:' .. hour) end

local function first(key) return redis.call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')[2] or '' end
local function first_of(index)
  return function(lane) return first(index .. ':' .. lane) end
end
local untold = {redis.call('ZCARD', P .. 'untold'), first('untold')}
local faults = redis.call('HSCAN', P .. 'faults', 0)[2]
return {time[1], counts, risks, records, totals, hours, redis.call('HGETALL', P .. 'health'), faults, each(ARGV[4], first_of('due')), each(ARGV[4], first_of('sent')), untold}
