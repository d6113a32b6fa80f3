--[[ Record one job: merge the wish, bump the revision, put the message where it is due.
  Arguments, returns and the races it closes: operation.lua. Refuses a job that would make one more message wait
  when max_backlog wait already (0: no limit); a deletion is always taken. ]]
local function is_full(m, job, policy)
  if policy.max_backlog == 0 or job.verb == 'delete' then return false end
  if m.state == 'queued' or m.state == 'retrying' or m.state == 'sending' then return false end
  local waiting = redis.call('ZCARD', Store.key('leases'))
  for _, priority in ipairs(PRIORITIES) do waiting = waiting + redis.call('ZCARD', Store.key('due', priority)) end
  return waiting >= policy.max_backlog
end

return Operation.run(function(m, job, policy, now)
  if is_full(m, job, policy) then return nil, 'backlog_full' end
  local outcome, rule = Message.accept(m, job, policy, now)
  if outcome then Store.count('jobs') end
  return outcome, rule
end)
