-- Enqueues what has become due in all lanes. ARGV: most items of each lane. Answers when more will be due, or empty.
local soonest = ''
for lane, _ in pairs(QUEUES) do
  enqueue_due(lane, tonumber(ARGV[1]))
  local first = redis.call('ZRANGE', P .. 'due:' .. lane, 0, 0, 'WITHSCORES')[2]
  if first and (soonest == '' or tonumber(first) < tonumber(soonest)) then soonest = first end
end
return {soonest == '' and '' or string.format('%.6f', math.max(0, tonumber(soonest) - now)), unpack(sent)}
