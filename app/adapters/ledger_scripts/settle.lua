-- What was reserved under a name has turned out to cost so much. Looks as far back as budgets are kept. ARGV: name, credits
local today = math.floor(now / 86400)
for day = today, today - 2, -1 do
  if redis.call('HEXISTS', P .. 'budget:' .. day, 'for:' .. ARGV[1]) == 1 then
    book(day, ARGV[1], tonumber(ARGV[2]))
    return
  end
end
