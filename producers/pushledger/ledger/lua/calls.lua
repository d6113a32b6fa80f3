-- The message, continued: a call for it, from the claim to what came of it. Pure, as message.lua is.

--[[ The account refused this message (401, 402, 403) for the third time while others passed in between: the fault is
  its own (R11). `passed` counts the account's answers that were no refusal. ]]
function Message.is_refused_alone(m, passed)
  local others_passed = m.refused_at ~= '' and num(passed) > num(m.refused_at)
  m.refusals = (others_passed or m.refusals == '') and str(num(m.refusals) + 1) or m.refusals
  m.refused_at = str(num(passed))
  return num(m.refusals) >= 3
end

--[[ Take the message for one call. The remote text is unknown from here until an answer confirms it (R3);
  a removal once claimed is finished before anything else (R2). ]]
function Message.claim(m, token, lease, now)
  local call, kind, id = Message.gap(m)
  m.token, m.lease, m.call, m.call_kind, m.call_id = token, lease, call, kind, id
  m.call_digest, m.call_revision, m.call_resend, m.call_shown = m.text_digest, m.revision, '', ''
  if call ~= 'send' and id == m.message_id then
    m.call_shown, m.shown_digest = m.shown_digest, ''
    if call == 'remove' then m.remove_claimed = '1' end
  end
  if call == 'send' and m.unknown ~= '' then
    m.resent, m.call_resend = str(num(m.resent) + 1), '1'
  end
  m.claims = str(num(m.claims) + 1)
  note(m, call, (m.call_resend == '1' and 'again ' or '') .. 'revision=' .. m.revision)
  become(m, 'sending', '', now)
end

--[[ The message as its worker shall see it: the call that was noted, even if the wish has moved on since. A
  claim that is asked again must not be answered with another call than the one that will be settled. ]]
function Message.as_claimed(m)
  local seen = Message.new({ kind = m.call_kind, wish = 'show', target = m.target, message_id = m.call_id,
    text = m.call_text ~= '' and m.call_text or m.text, text_digest = m.call_digest, revision = m.call_revision,
    attempts = m.attempts, failing_since = m.failing_since, waiting_since = m.waiting_since })
  if m.call == 'probe' or m.call == 'ping' then
    seen.wish = m.call
    return seen
  end
  local doomed = m.call_kind .. ' ' .. m.call_id
  if m.call == 'remove' and has(m.doomed, doomed, '\n') then
    seen.doomed, seen.message_id = doomed, ''
  elseif m.call == 'remove' then
    seen.wish = 'gone'
  end
  return seen
end

local function removed(m, id)
  m.doomed = without(m.doomed, m.call_kind .. ' ' .. id, '\n')
  if m.message_id == id then
    m.message_id, m.shown_digest, m.remove_claimed, m.life_over = '', '', '', '1'
  end
end

local function confirmed(m, outcome)
  if m.call == 'send' then
    if outcome.message_id == '' then
      m.unknown, m.no_id = add(m.unknown, m.token, ' '), '1'
    elseif m.message_id == '' then
      m.message_id, m.shown_digest = outcome.message_id, m.call_digest
    elseif m.message_id ~= outcome.message_id then
      doom(m, m.kind, outcome.message_id)
    end
  elseif m.call == 'remove' then
    removed(m, m.call_id)
  elseif m.message_id == m.call_id then
    m.shown_digest = m.call_digest
  end
  m.attempts, m.failing_since, m.error, m.retry_at = '', '', '', ''
end

-- What surely was not processed leaves no trace: no re-send used, the remote text as it was.
local function undo(m)
  if m.call_resend == '1' then m.resent = num(m.resent) > 1 and str(num(m.resent) - 1) or '' end
  if m.call ~= 'send' and m.message_id == m.call_id and m.shown_digest == '' then m.shown_digest = m.call_shown end
end

-- A create is superseded too when an earlier one's id came in meanwhile (R8).
local function is_superseded(m)
  if m.call == 'send' and m.message_id ~= '' then return true end
  return m.call ~= 'remove' and (m.wish == 'gone' or m.text_digest ~= m.call_digest or m.doomed ~= '')
end

local function wait_after(m, outcome, now)
  m.error = outcome.error
  if outcome.attempt ~= '0' then
    m.attempts = str(num(m.attempts) + 1)
    if m.failing_since == '' then m.failing_since = now end
  end
  m.retry_at = str(num(now) + num(outcome.retry_in))
  note(m, outcome.kind, outcome.summary)
end

--[[ Write what came of the call that is in the air. outcome.kind is
    confirmed   it happened; a create brings outcome.message_id ('' when the answer held no usable one)
    gone        404 to an edit: the copy is not there any more
    unknown     it may or may not have happened: nothing goes out before SETTLE_DELAY is over (R1)
    unsent      it surely was not processed: no re-send used; outcome.attempt '0' costs no attempt either
    refused     it surely was not processed and never will be: failed, unless the wish has moved on ]]
function Message.settle(m, outcome, policy, now)
  local kind = outcome.kind
  local failure = nil
  if kind == 'confirmed' then
    note(m, 'answered', outcome.status)
    confirmed(m, outcome)
  elseif kind == 'gone' then
    note(m, 'answered', outcome.status)
    if m.message_id == m.call_id then
      if m.wish == 'gone' then removed(m, m.call_id) else m.life_over, failure = '1', 'gone' end
    end
    m.error = outcome.error
  elseif kind == 'unknown' then
    if m.call == 'send' then m.unknown = add(m.unknown, m.token, ' ') end
    m.quiet_until = later(m.quiet_until, num(now) + num(policy.settle_delay))
    wait_after(m, outcome, now)
  elseif kind == 'unsent' then
    undo(m)
    wait_after(m, outcome, now)
    if outcome.alone == '1' then failure = not is_superseded(m) and 'refused_alone' or nil end
    if outcome.give_up == '1' and not is_superseded(m) then failure = 'gave_up' end
  else
    undo(m)
    note(m, 'answered', outcome.status)
    m.error = outcome.error
    if not is_superseded(m) then failure = 'refused' end
  end
  if kind == 'unknown' and outcome.give_up == '1' and m.call ~= 'send' and not is_superseded(m) then failure = 'gave_up' end
  m.token, m.lease, m.claims = '', '', ''
  m.call, m.call_kind, m.call_id, m.call_digest, m.call_revision, m.call_resend, m.call_shown = '', '', '', '', '', '', ''
  m.call_text = ''
  if failure then return Message.fail(m, failure, now) end
  Message.rest(m, policy, now)
end

-- A lease ran out: whoever held it may have made the call, so its outcome is unknown as of the lease's end.
function Message.take_back(m, policy, now)
  local claims, lease = num(m.claims), m.lease
  note(m, 'lost', m.call)
  Message.settle(m, { kind = 'unknown', error = policy.lost, retry_in = policy.settle_delay, attempt = '1', give_up = '0',
    summary = 'lease over' },
    policy, lease)
  m.since = now
  if m.state == 'queued' or m.state == 'retrying' then
    m.claims = str(claims)
    if claims >= num(policy.max_claims) then Message.fail(m, 'worker_lost', now) end
  end
end

--[[ A create's answer came after its lease was over (R8). Adopt the id if this life waits for just that
  create; otherwise it is an extra copy to be removed; the recorded id itself says nothing new. ]]
function Message.late(m, token, kind, message_id, policy, now)
  local listed, before = has(m.unknown, token, ' '), has(m.unknown_before, token, ' ')
  if message_id == m.message_id and not listed and not before then return end
  m.unknown, m.unknown_before = without(m.unknown, token, ' '), without(m.unknown_before, token, ' ')
  if message_id == m.message_id or has(m.doomed, kind .. ' ' .. message_id, '\n') then
    return Message.rest_if_waiting(m, policy, now)
  end
  if m.message_id == '' and listed and m.life_over == '' then
    note(m, 'adopted', '')
    m.message_id, m.shown_digest, m.no_id = message_id, '', ''
  else
    note(m, 'extra_copy', '')
    doom(m, kind, message_id)
  end
  Message.rest(m, policy, now)
end

function Message.rest_if_waiting(m, policy, now)
  if m.state ~= 'failed' and m.state ~= 'expired' then Message.rest(m, policy, now) end
end
