--[[ Erase everything that is stored of one message: record, map entry, jobs, timeline, its places in all indexes, its signals.
  KEYS[1] account prefix        ARGV  now, local id, what the audit trail shall say, policy …
  Returns 1 if there was anything. What its visitor sees stays as it is; a call in the air settles into nothing.
  Run twice, it finds nothing the second time. ]]
local now, id, policy = Store.now(ARGV[1]), ARGV[2], Store.policy(4)
local m = Store.load(id)
local found = m.state ~= ''
for _, priority in ipairs(PRIORITIES) do redis.call('ZREM', Store.key('due', priority), id) end
for _, state in ipairs(STATES) do redis.call('ZREM', Store.key('state', state), id) end
redis.call('ZREM', Store.key('leases'), id)
redis.call('HDEL', Store.key('map'), id)
redis.call('DEL', Store.key('message', id), Store.key('jobs', id), Store.key('timeline', id))
if m.laned == '1' then Lane.leave(m, m.lane, policy, now) end
for _, signal in ipairs(redis.call('ZRANGE', Store.key('signals'), 0, -1)) do
  local kind, about = signal:match('^%S+ (%S+) %S+ (.*)$')
  if about == id and (kind == 'held' or kind == 'failed') then redis.call('ZREM', Store.key('signals'), signal) end
end
if found then Store.audit(ARGV[3], 'forgotten', now) end
return found and 1 or 0
