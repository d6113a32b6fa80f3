--[[ Record one job: merge the wish, bump the revision, put the message where it is due.
  KEYS[1] account prefix
  ARGV    now ('' = the server's clock), local id, job id, life of wake-ups in ms, life of jobs in ms,
          number of job fields, job fields …, policy fields …
  Returns {outcome, revision, wake} or {'refused', rule, 0}; wake is 1 when the caller shall publish a
  wake-up, because the message is due and none is pending.
  Closes: two producers changing one message at once; a command sent again because its reply was lost: the
  job id answers with the first receipt, and with the first wake-up if nobody else has it (R7). ]]
local now, id, job_id = Store.now(ARGV[1]), ARGV[2], ARGV[3]
local wake_ms, jobs_ms, job_end = tonumber(ARGV[4]), tonumber(ARGV[5]), 6 + tonumber(ARGV[6])
local job = Store.table({ unpack(ARGV, 7, job_end) })
local policy = Store.policy({ unpack(ARGV, job_end + 1) })
local jobs, wake = Store.key('jobs', id), Store.key('wake')

local receipt = redis.call('HGET', jobs, job_id)
if receipt then
  local outcome, revision = receipt:match('^(%S+) (%S+)$')
  return { outcome, revision, redis.call('GET', wake) == job_id and 1 or 0 }
end

local m = Store.load(id)
local outcome, rule = Message.accept(m, job, policy, now)
if not outcome then
  Store.count('refused')
  return { 'refused', rule, 0 }
end
Store.save(m, policy, now)
redis.call('HSET', jobs, job_id, outcome .. ' ' .. m.revision)
redis.call('PEXPIRE', jobs, jobs_ms)
Store.count('jobs')
Store.count(outcome)

local woken = 0
if m.due ~= '' and tonumber(m.due) <= tonumber(now) and redis.call('SET', wake, job_id, 'NX', 'PX', wake_ms) then woken = 1 end
return { outcome, m.revision, woken }
