-- Records a callback and enqueues its settling, or changes nothing.
-- ARGV: task id (may be empty if a token names the record), token (may be empty), entry, most entries kept waiting,
--       seconds for which news of what nobody here knows gives way to what somebody does
local task_id, token, entry, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

-- A token stands for a submission whose id at the vendor's is not known yet, for the generation that has come of it, or, like an
-- id of the vendor's for an upgrade, for "<task id>/<kind>/<index>#<order>".
local name = ''
if token ~= '' then
  name = redis.call('GET', P .. 'token:' .. token)
  if not name then return {'unknown_token'} end
end
local is_generation = name ~= '' and not is_submission(name) and not string.find(name, '/')
if task_id ~= '' and (name == '' or is_generation) then
  name = redis.call('GET', P .. 'alias:' .. task_id) or task_id
end
local id, upgrade = string.match(name, '^([^/]+)/?(.*)$')
local is_known = redis.call('EXISTS', record_key(id)) == 1
-- The vendor's id of an upgrade whose generation has left for the bucket leads there still.
local leads_to = not is_known and find_archived(id) or ''
if leads_to ~= '' then id, upgrade = string.match(leads_to, '^([^/]+)/?(.*)$') end

local inbox = P .. 'inbox:' .. id
-- Beyond the cap a callback is only a reason to look again, which the item in the index already is.
if redis.call('LLEN', inbox) < most then
  redis.call('RPUSH', inbox, upgrade .. ' ' .. entry)
end
count('callbacks', '1')
enqueue_once(item_of(id), is_known and now or now + tonumber(ARGV[5]))
return {'recorded', unpack(sent)}
