-- All that is measured. Changes nothing, and costs the same however many generations there are.
-- ARGV, with spaces between: states, lanes, names of the day's totals.
-- Answers the time, counts, totals, tallies, health, how many faults and some of them, five figures of each lane, INFO, whose events wait:
-- how many there are, and since when the first does.
local function each(text, ask)
  local answers = {}
  for word in string.gmatch(text, '%S+') do answers[#answers + 1] = ask(word) end
  return answers
end

local counts = each(ARGV[1], function(state) return redis.call('ZCARD', P .. 'state:' .. state) end)
counts[#counts + 1] = redis.call('ZCARD', P .. 'uncertain')
counts[#counts + 1] = redis.call('ZCARD', P .. 'risk')

local budget = P .. 'budget:' .. math.floor(now / 86400)
local totals = each(ARGV[3], function(name) return redis.call('HGET', budget, name) or '0' end)

local function first(key) return redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or '' end
local lanes = each(ARGV[2], function(lane)
  local waiting, due = P .. 'sent:' .. lane, P .. 'due:' .. lane
  return {
    redis.call('ZCARD', waiting), first(waiting), redis.call('ZCARD', due), redis.call('ZCOUNT', due, '-inf', now), first(due)
  }
end)

local faults = P .. 'faults'
local info = redis.pcall('INFO')  -- an access list may refuse it
return {
  time[1], counts, totals, redis.call('HGETALL', P .. 'stats'), redis.call('HGETALL', P .. 'health'),
  redis.call('HLEN', faults), redis.call('HSCAN', faults, 0)[2], lanes, type(info) == 'string' and info or '',
  {redis.call('ZCARD', P .. 'untold'), first(P .. 'untold')}
}
