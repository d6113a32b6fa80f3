--[[ Record one job: merge the wish, bump the revision, put the message where it is due.
  Arguments, returns and the races it closes: operation.lua. Refuses a job that would make one more message wait
  when max_backlog wait already (0: no limit); a deletion is always taken. ]]
local WAITS = { queued = true, retrying = true, sending = true }

local function is_full(policy)
  if policy.max_backlog == 0 then return false end
  local waiting = redis.call('ZCARD', Store.key('leases'))
  for _, priority in ipairs(PRIORITIES) do waiting = waiting + redis.call('ZCARD', Store.key('due', priority)) end
  return waiting >= policy.max_backlog
end

return Operation.run(function(m, job, policy, now)
  local outcome, rule = Message.accept(m, job, policy, now)
  -- Nothing is saved yet, so a job that turns out to be one too many leaves no trace.
  if outcome and job.verb ~= 'delete' and WAITS[m.state] and not WAITS[m.was.state] and is_full(policy) then
    return nil, 'backlog_full'
  end
  if outcome then Store.count('jobs') end
  return outcome, rule
end)
