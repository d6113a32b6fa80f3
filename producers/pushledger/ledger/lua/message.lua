--[[ The message: what the ledger knows of one local id, and every decision over it.
  Pure: no redis.call, no clock, no randomness. A message is a table of strings in which an absent
  field reads ''. Functions change the table they are given and note what happened in m.events;
  store.lua loads and saves it. Numbers are milliseconds since the epoch, kept as decimal strings.
  docs/record.md lists the fields. R1..R14 are the rules of docs/guarantees.md. ]]
local Message = {}

-- Each absent field is put here at its first reading: looked up from then on, not computed.
local blank = setmetatable({}, { __index = function(fields, name)
  fields[name] = ''
  return ''
end })
local BLANK = { __index = blank }

function Message.blank() return setmetatable({}, BLANK) end

function Message.new(fields)
  fields.events = {}
  return setmetatable(fields, BLANK)
end

local function num(text) return tonumber(text) or 0 end
local function str(number) return string.format('%.0f', number) end

local function later(...)
  local latest = 0
  for _, text in ipairs({ ... }) do latest = math.max(latest, num(text)) end
  return str(latest)
end

local function note(m, event, detail)
  m.events[#m.events + 1] = detail and detail ~= '' and (event .. ' ' .. detail) or event
end
Message.note = note

-- Who asked for it, if it was said.
local function named(before, request) return (request.by or '') ~= '' and before .. request.by or '' end
local function by_hand(decision) return 'by hand' .. named(': ', decision) end

-- Sets of words inside one field: tokens are parted by blanks, doomed copies ("kind id") by newlines.
local function add(set, word, sep)
  if (sep .. set .. sep):find(sep .. word .. sep, 1, true) then return set end
  return set == '' and word or set .. sep .. word
end

local function has(set, word, sep)
  return word ~= '' and (sep .. set .. sep):find(sep .. word .. sep, 1, true) ~= nil
end

local function without(set, word, sep)
  local kept = {}
  for one in (set .. sep):gmatch('(.-)' .. sep) do
    if one ~= '' and one ~= word then kept[#kept + 1] = one end
  end
  return table.concat(kept, sep)
end

local function first(set, sep) return set:match('^(.-)' .. sep) or set end

-- The one call that closes the gap between wish and remote: its name, and the kind and id it goes to.
function Message.gap(m)
  if m.doomed ~= '' then
    local kind, id = first(m.doomed, '\n'):match('^(%S+) (.*)$')
    return 'remove', kind, id
  end
  if m.wish == 'gone' then
    if m.message_id ~= '' then return 'remove', m.kind, m.message_id end
    return nil
  end
  if m.message_id == '' then return 'send', m.kind, '' end
  if m.shown_digest ~= m.text_digest then return 'edit', m.kind, m.message_id end
  return nil
end

-- How many calls close the gap, if each does what it shall.
function Message.calls(m)
  local doomed, number = m.doomed, 0
  for _ in doomed:gmatch('[^\n]+') do number = number + 1 end
  m.doomed = ''
  if Message.gap(m) then number = number + 1 end
  m.doomed = doomed
  return number
end

local function may_resend(m, policy)
  local limit = m.max_resends ~= '' and m.max_resends or policy.max_resends
  return m.no_id == '' and num(m.resent) < num(limit) + num(m.granted)
end

local function become(m, state, reason, now)
  if m.state ~= state then m.since = now end
  m.state, m.reason = state, reason
end

-- Quick changes fold when the first of them is held back a little; the wait is counted from that first one.
local function fold_until(m, policy)
  if policy.fold_for == 0 or m.waiting_since == '' or num(m.attempts) > 0 then return '' end
  return str(num(m.waiting_since) + policy.fold_for)
end

-- When it may be sent, folding left aside.
function Message.may_be_sent_from(m) return tonumber(later(m.not_before, m.retry_at, m.quiet_until)) end

function Message.wait_from(m, policy, now)
  m.due = later(now, m.not_before, m.retry_at, m.quiet_until, fold_until(m, policy))
  become(m, num(m.attempts) > 0 and 'retrying' or 'queued', '', now)
end

local function hold(m, reason, now)
  if m.state ~= 'held' or m.reason ~= reason then note(m, 'held', reason) end
  become(m, 'held', reason, now)
end

local function deliver(m, now)
  if m.state ~= 'delivered' then note(m, 'delivered', '') end
  become(m, 'delivered', '', now)
  m.attempts, m.failing_since, m.error, m.retry_at, m.waiting_since = '', '', '', '', ''
  m.refusals, m.refused_at = '', ''
end

--[[ The state a message comes to by itself once no call is in the air. An unknown create is sent again
  within its limit, else held (R9); a deletion that may leave a copy behind is held too (R6). ]]
function Message.rest(m, policy, now)
  if m.token ~= '' then return become(m, 'sending', '', now) end
  local call = Message.gap(m)
  if call == 'send' and m.unknown ~= '' and not may_resend(m, policy) then
    return hold(m, m.no_id ~= '' and 'no_message_id' or 'outcome_unknown', now)
  end
  if call then return Message.wait_from(m, policy, now) end
  if m.wish == 'show' then return deliver(m, now) end
  if m.unknown ~= '' or m.unknown_before ~= '' then return hold(m, 'copy_may_remain', now) end
  if m.state ~= 'deleted' then note(m, 'deleted', '') end
  m.life_over = '1'
  become(m, 'deleted', '', now)
  m.waiting_since = ''
end

-- Does the message stand in its visitor's lane? Creates of one visitor go out one at a time, in their order.
function Message.needs_lane(m)
  if m.lane == '' then return false end
  return m.call == 'send' or (m.state == 'queued' or m.state == 'retrying') and Message.gap(m) == 'send'
end

function Message.fail(m, reason, now)
  note(m, 'failed', reason)
  become(m, 'failed', reason, now)
end

-- A message whose time is over costs no call; an unknown create stays a question for a person (R9).
function Message.expire(m, now)
  if m.unknown ~= '' and m.message_id == '' then return hold(m, 'outcome_unknown', now) end
  note(m, 'expired', '')
  become(m, 'expired', '', now)
end

function Message.is_expired(m, now)
  return m.expires_at ~= '' and num(m.expires_at) <= num(now) and m.wish == 'show' and m.doomed == ''
end

-- ---------------------------------------------------------------- jobs

local function doom(m, kind, id)
  m.doomed = add(m.doomed, kind .. ' ' .. id, '\n')
end

-- Creates without known outcome are remembered beyond the life they belong to (R6).
local function keep_unknown(m)
  for token in m.unknown:gmatch('%S+') do m.unknown_before = add(m.unknown_before, token, ' ') end
end

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

-- ---------------------------------------------------------------- calls

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

-- ---------------------------------------------------------------- a person's decisions

-- Whoever decides wants it done now, whatever was tried before and whenever it was to be over.
local function fresh_start(m)
  m.attempts, m.failing_since, m.error, m.retry_at, m.claims = '', '', '', '', ''
  m.refusals, m.refused_at, m.expires_at = '', '', ''
end

-- failed or expired -> waiting again. What the API no longer has cannot be edited: it must be created anew.
function Message.retry(m, decision, policy, now)
  if m.state == '' then return nil, 'unknown_local_id' end
  if m.state ~= 'failed' and m.state ~= 'expired' then return nil, 'not_failed' end
  if m.life_over ~= '' and m.wish == 'show' then return nil, 'gone' end
  fresh_start(m)
  note(m, 'retry', by_hand(decision))
  Message.rest(m, policy, now)
  return m.state
end

-- held -> sent once more, although it may be visible already.
function Message.resend(m, decision, policy, now)
  if m.state == '' then return nil, 'unknown_local_id' end
  if m.state ~= 'held' then return nil, 'not_held' end
  if Message.gap(m) ~= 'send' then return nil, 'nothing_to_send' end
  fresh_start(m)
  m.granted, m.no_id = str(num(m.granted) + 1), ''
  note(m, 'resend', by_hand(decision))
  Message.rest(m, policy, now)
  return m.state
end

local function without_first(set, sep) return without(set, first(set, sep), sep) end

--[[ held -> the id of the copy is known after all. A wanted copy is edited to the newest text, as it may show an
  older one; an unwanted one is removed. One id answers for one unknown create. ]]
function Message.resolve(m, decision, policy, now)
  if m.state == '' then return nil, 'unknown_local_id' end
  if m.state ~= 'held' then return nil, 'not_held' end
  fresh_start(m)
  m.no_id = ''
  note(m, 'resolve', by_hand(decision))
  local wanted = m.wish == 'show' and m.message_id == ''
  if m.unknown ~= '' then m.unknown = without_first(m.unknown, ' ') else m.unknown_before = without_first(m.unknown_before, ' ') end
  if wanted then
    m.message_id, m.shown_digest = decision.message_id, ''
  else
    doom(m, m.kind, decision.message_id)
  end
  Message.rest(m, policy, now)
  return m.state
end

--[[ Drop what could not be done, and leave the visitor's chat as it is: with a known copy the message is
  delivered as it stands there; without one it is over. A late answer may still hand in an id (R8). ]]
function Message.discard(m, decision, policy, now)
  if m.state == '' then return nil, 'unknown_local_id' end
  if m.state ~= 'failed' and m.state ~= 'held' and m.state ~= 'expired' then return nil, 'not_at_rest' end
  fresh_start(m)
  note(m, 'discard', by_hand(decision))
  m.doomed, m.waiting_since = '', ''
  if m.message_id ~= '' and m.life_over == '' then
    m.wish, m.text, m.text_digest = 'show', '', m.shown_digest
    become(m, 'delivered', '', now)
    return m.state
  end
  keep_unknown(m)
  m.unknown, m.no_id, m.message_id, m.shown_digest, m.wish = '', '', '', '', 'gone'
  m.life_over = '1'
  become(m, 'deleted', 'discarded', now)
  return m.state
end

--[[ The API was read, and shows something else than the ledger believes: bring it back. Nothing is done when the
  message has moved on since. A copy that is gone is sent anew as a new life. Without the text (or the target) kept the
  message is failed, and what it shows counts as unknown: so the shop's next job for it goes out, whatever that says. A
  text that the ledger does not know (of an adopted message) is taken as it is shown. ]]
function Message.repair(m, seen, policy, now)
  if m.state == '' then return nil, 'unknown_local_id' end
  if m.message_id ~= seen.message_id or m.revision ~= seen.revision then return nil, 'changed' end
  if m.state ~= 'delivered' then return nil, 'not_delivered' end
  note(m, 'repair', seen.finding)
  if seen.finding == 'differs' and m.text_digest == '' then
    m.text_digest, m.shown_digest = seen.seen_digest, seen.seen_digest
    return m.state
  end
  if seen.finding == 'gone' then m.life_over = '1' end
  if m.text == '' or (seen.finding == 'gone' and m.target == '') then
    if seen.finding == 'differs' then m.text_digest, m.shown_digest = '', '' end
    Message.fail(m, seen.finding, now)
    return m.state
  end
  if seen.finding == 'differs' then
    m.shown_digest = seen.seen_digest
  else
    begin_life(m, { life = seen.life, kind = m.kind, target = m.target, target_digest = m.target_digest, lane = m.lane,
      max_resends = m.max_resends })
  end
  m.waiting_since, m.expires_at, m.not_before = now, '', ''
  Message.rest(m, policy, now)
  return m.state
end

--[[ Take a message under the ledger that exists already. Its target may be unknown (''): then any target is taken
  for it later. Its text may be unknown too, and is then edited with the first update, whatever that says. ]]
function Message.adopt(m, found, policy, now)
  if m.state ~= '' and m.state ~= 'deleted' then
    if m.message_id == found.message_id then return m.state end
    return nil, 'already_exists'
  end
  m.v, m.wish, m.kind, m.priority = '1', 'show', found.kind, 'normal'
  m.revision = str(num(m.revision) + 1)
  m.life, m.target_digest, m.lane = found.life, found.target_digest ~= '' and found.target_digest or '-', found.lane
  m.message_id, m.shown_digest, m.text_digest, m.life_over = found.message_id, found.text_digest, found.text_digest, ''
  if found.version ~= '' then m.version = found.version end
  note(m, 'adopted', by_hand(found))
  become(m, 'delivered', '', now)
  return m.state
end
