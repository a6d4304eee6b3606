-- Lets nobody have a slot for a while. ARGV: name, seconds
local key, until_ = P .. 'paused:' .. ARGV[1], now + tonumber(ARGV[2])
if until_ > tonumber(redis.call('GET', key) or '0') then
  redis.call('SET', key, string.format('%.6f', until_), 'PX', math.ceil(tonumber(ARGV[2]) * 1000))
end
