-- Records a callback and enqueues its settling, or changes nothing.
-- ARGV: task id (may be empty if a token names the upgrade), token (may be empty), entry, most entries kept waiting
local task_id, token, entry, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

-- A token or an id of the vendor's for an upgrade stands for "<task id>/<kind>/<index>" of the parent.
local name = ''
if token ~= '' then
  name = redis.call('GET', P .. 'token:' .. token)
  if not name then return {'unknown_token'} end
else
  name = redis.call('GET', P .. 'alias:' .. task_id) or ''
end
local parent, upgrade = string.match(name, '^([^/]+)/(.+)$')

local inbox = P .. 'inbox:' .. (parent or task_id)
-- Beyond the cap a callback is only a reason to look again, which the item in the index already is.
if redis.call('LLEN', inbox) < most then
  redis.call('RPUSH', inbox, (upgrade or '') .. ' ' .. entry)
end
redis.call('HINCRBY', P .. 'stats', 'callbacks', 1)
enqueue_once('settle/' .. (parent or task_id))
return {'recorded', unpack(sent)}
