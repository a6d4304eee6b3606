-- Records callbacks, each of which is enqueued to be settled, or changes nothing.
-- ARGV: most entries of one record that are kept waiting; seconds for which news of what nobody here knows gives way to what
--       somebody does; then for each: task id (may be empty if a token names the record), token (may be empty), entry
-- Answers what became of each, and then, as a list, what is to be put on a queue elsewhere.
local most, wait = tonumber(ARGV[1]), tonumber(ARGV[2])

local function record(task_id, token, entry)
  -- A token stands for a submission whose id at the vendor's is not known yet, for the generation that has come of it, or, like
  -- an id of the vendor's for an upgrade, for "<task id>/<kind>/<index>#<order>".
  local name = ''
  if token ~= '' then
    name = redis.call('GET', P .. 'token:' .. token)
    if not name then return 'unknown_token' end
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

  -- Beyond the cap a callback is only a reason to look again, which the item in the index already is.
  local inbox = P .. 'inbox:' .. id
  if redis.call('RPUSH', inbox, upgrade .. ' ' .. entry) > most then redis.call('RPOP', inbox) end
  enqueue_once(item_of(id), is_known and now or now + wait)
  return 'recorded'
end

local answers, recorded = {}, 0
for place = 3, #ARGV, 3 do
  local outcome = record(ARGV[place], ARGV[place + 1], ARGV[place + 2])
  if outcome == 'recorded' then recorded = recorded + 1 end
  answers[#answers + 1] = outcome
end
if recorded > 0 then count('callbacks', recorded) end
answers[#answers + 1] = sent
return answers
