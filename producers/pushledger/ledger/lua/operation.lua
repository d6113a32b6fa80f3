--[[ What every verb that changes one message has in common: a job of a shop, or a decision of a person. Many of one
  verb share a run.
  KEYS[1] account prefix
  ARGV    now ('' = the server's clock), life of wake-ups in ms, life of jobs in ms, number of policy fields,
          policy fields …, then for each operation: local id, job id, number of fields, fields …
  Fields of every verb: by, who did it; audit, what the audit trail shall say of it.
  Returns for each {outcome, revision, wake} or {'refused', rule, 0}; wake is 1 when the caller shall publish a
  wake-up, because the message is due and none is pending.
  Closes: two processes changing one message at once; a command sent again because its reply was lost: the
  job id answers with the first receipt, and with the first wake-up if nobody else has it (R7). ]]
local Operation = {}

-- A decision is counted by its name, a job by its outcome.
function Operation.run(change, decision)
  local now, wake_ms, jobs_ms = Store.now(ARGV[1]), ARGV[2], ARGV[3]
  local wake, at, answers = Store.key('wake'), 5 + tonumber(ARGV[4]), {}
  local policy = Store.policy(5, at - 1)

  local function carry_out(id, job_id, fields)
    local jobs = Store.key('jobs', id)
    local receipt = redis.call('HGET', jobs, job_id)
    if receipt then
      -- A write, so that WAIT and WAITAOF, which look at the last one of their own connection, speak of this job too.
      redis.call('PEXPIRE', jobs, jobs_ms)
      local outcome, revision = receipt:match('^(%S+) (%S+)$')
      return { outcome, revision, redis.call('GET', wake) == job_id and 1 or 0 }
    end

    local m = Store.load(id)
    local outcome, rule = change(m, fields, policy, now)
    if not outcome then
      if not decision then Store.count('refused') end
      return { 'refused', rule, 0 }
    end
    Store.save(m, policy, now)
    redis.call('HSET', jobs, job_id, outcome .. ' ' .. m.revision)
    redis.call('PEXPIRE', jobs, jobs_ms)
    Store.count(decision or outcome)
    Store.audit(fields.audit, outcome, now)

    local due = m.due ~= '' and tonumber(m.due) <= tonumber(now)
    local woken = due and redis.call('SET', wake, job_id, 'NX', 'PX', wake_ms)
    return { outcome, m.revision, woken and 1 or 0 }
  end

  while at <= #ARGV do
    local last = at + 2 + tonumber(ARGV[at + 2])
    answers[#answers + 1] = carry_out(ARGV[at], ARGV[at + 1], Store.arguments(at + 3, last))
    at = last + 1
  end
  return answers
end
