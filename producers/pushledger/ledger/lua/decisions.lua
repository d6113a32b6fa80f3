-- The message, continued: what a person decides about it. Pure, as message.lua is.

local function by_hand(decision) return 'by hand' .. named(': ', decision) end

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
