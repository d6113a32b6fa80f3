-- The message, continued: what a shop's job makes of it. Pure, as message.lua is.

--[[ A life is one remote copy with a fixed target. The old copy, if there is one, is removed before the
  new one is sent (R2, R5); what may have been doubled stays marked (R6). ]]
local function begin_life(m, job)
  if m.message_id ~= '' and m.life_over == '' then doom(m, m.kind, m.message_id) end
  keep_unknown(m)
  m.unknown, m.no_id, m.granted = '', '', ''
  m.message_id, m.shown_digest, m.remove_claimed, m.life_over = '', '', '', ''
  m.life, m.kind, m.target, m.target_digest, m.lane = job.life, job.kind, job.target, job.target_digest, job.lane
  m.max_resends = job.max_resends
end

-- An adopted message's target may be unknown ('-'), until a job names one.
local function same_target(m, job)
  return job.target_digest == '' or m.target_digest == '-' or job.target_digest == m.target_digest
end

local function same_content(m, job)
  if job.verb == 'delete' then return m.state == 'deleted' or m.wish == 'gone' end
  return m.state ~= 'deleted' and m.wish == 'show' and m.text_digest == job.text_digest and same_target(m, job)
end

-- Is a change waiting that the next job would supersede?
local function is_waiting(m)
  if m.state == 'sending' then
    return m.call == 'remove' and m.wish == 'show' or m.call ~= 'remove' and (m.wish == 'gone' or m.text_digest ~= m.call_digest)
  end
  return m.state == 'queued' or m.state == 'retrying' or m.state == 'held'
end

local function take_wish(m, job, policy, now)
  local waiting, was = is_waiting(m), m.state
  if was == 'failed' or was == 'expired' or was == 'deleted' then
    m.attempts, m.failing_since, m.error, m.retry_at = '', '', '', ''
  end
  if m.token ~= '' and m.call_text == '' then m.call_text = m.text end
  if m.target_digest == '-' and job.target_digest ~= '' then
    m.target, m.target_digest, m.lane = job.target, job.target_digest, job.lane
  end
  m.wish = job.verb == 'delete' and 'gone' or 'show'
  m.text, m.text_digest = job.text, job.text_digest
  m.priority, m.not_before, m.expires_at = job.priority, job.not_before, job.expires_at
  if job.max_resends ~= '' then m.max_resends = job.max_resends end
  if job.version ~= '' then m.version = job.version end
  m.v, m.revision, m.accepted_at = '1', str(num(m.revision) + 1), now
  if m.waiting_since == '' then m.waiting_since = now end
  note(m, 'accepted', job.verb .. ' revision=' .. m.revision .. named(' by ', job))
  Message.rest(m, policy, now)
  if m.state == 'deleted' then return 'cancelled' end
  if waiting then
    note(m, 'folded', '')
    return 'folded'
  end
  if m.state == 'delivered' then return 'unchanged' end
  return 'queued'
end

local function create(m, job, policy, now)
  local fresh = m.state == '' or m.state == 'deleted'
  local unresolved = m.call == 'send' or (m.message_id == '' and m.unknown ~= '' and m.life_over == '')
  if not fresh and not same_target(m, job) and unresolved then return nil, 'outcome_unknown' end
  if fresh or m.life_over ~= '' or m.remove_claimed ~= '' or not same_target(m, job) then begin_life(m, job) end
  return take_wish(m, job, policy, now)
end

--[[ Merge one job into the message. Returns the receipt's outcome, or nil and the rule it breaks.
  An older version is stale; the same version with the same content is a repetition (R14). ]]
function Message.accept(m, job, policy, now)
  if job.version ~= '' and m.version ~= '' then
    if num(job.version) < num(m.version) then return 'stale' end
    if num(job.version) == num(m.version) and same_content(m, job) then return 'unchanged' end
  end
  local known = m.state ~= '' and m.state ~= 'deleted'
  local live = known and m.wish == 'show' and m.life_over == ''
  if job.verb == 'delete' then
    if m.state == '' then return nil, 'unknown_local_id' end
    if same_content(m, job) and m.state ~= 'failed' then
      if job.version ~= '' then m.version = job.version end
      return 'unchanged'
    end
    if m.life_over ~= '' then m.message_id = '' end
    return take_wish(m, job, policy, now)
  end
  if job.verb == 'update' and not live then
    return nil, known and m.wish == 'show' and 'gone' or 'unknown_local_id'
  end
  if live and not same_target(m, job) then
    return nil, job.verb == 'create' and 'already_exists' or 'target_changed'
  end
  if live and job.verb == 'create' and not same_content(m, job) then return nil, 'already_exists' end
  if live then return take_wish(m, job, policy, now) end
  return create(m, job, policy, now)
end
