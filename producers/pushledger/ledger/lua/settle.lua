--[[ Hand back what came of calls.
  KEYS[1] account prefix
  ARGV    now ('' = the server's clock), windows, number of policy fields, policy fields …, then for each call:
          local id ('' for a call that belongs to no message), token, number of outcome fields, outcome fields …
  Outcome fields: kind, message_id, call_kind, agent (that was pinged), status, error, summary, retry_in, attempt, give_up (Message.settle)
          and pause_for, pause_reason, trouble, pause_after (of the account; the pause begins when trouble was
          met that often in a row), remaining, reset_in (what the API said is left).
  Returns for each {'settled' | 'stale' | 'late', state}.
  Closes: a worker that comes too late writing over a newer one: with a token that is not current nothing
  changes, but a create's answer still hands in its message id (R8). A repetition finds its token no longer
  current and its id recorded, so it changes nothing. ]]
local now, windows, at = Store.now(ARGV[1]), Budget.windows(ARGV[2]), 4 + tonumber(ARGV[3])
local policy, passed, answers = Store.policy(4, at - 1), Store.key('passed'), {}

local function is_account_refused(outcome)
  return outcome.status == '401' or outcome.status == '402' or outcome.status == '403'
end

-- From the acceptance of a change to its being shown: one counter for each range of seconds, by its upper end.
local WITHIN = { 1, 2, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400 }
local function count_shown(milliseconds)
  for _, seconds in ipairs(WITHIN) do
    if milliseconds <= seconds * 1000 then return Store.count('shown_le_' .. seconds) end
  end
  Store.count('shown_le_inf')
end

local function settle_message(m, outcome)
  if is_account_refused(outcome) and Message.is_refused_alone(m, redis.call('GET', passed) or '0') then
    outcome.alone, outcome.pause_for = '1', ''
  end
  local accepted = m.waiting_since
  local not_done = outcome.kind == 'unsent' or outcome.kind == 'refused'
  if m.call_resend == '1' and not_done then Store.count('sent_again', -1) end
  Message.settle(m, outcome, policy, now)
  Store.save(m, policy, now)
  if m.state == 'delivered' and accepted ~= '' then count_shown(tonumber(now) - tonumber(accepted)) end
end

local function settle_ping(outcome)
  local agent = outcome.agent
  if is_account_refused(outcome) and Presence.is_refused_alone(agent, redis.call('GET', passed) or '0') then
    outcome.kind, outcome.pause_for = 'refused', ''
  end
  Presence.settle(agent, outcome, now)
end

local function settle_account(outcome)
  Budget.heard(outcome.remaining, outcome.reset_in, now)
  local streak = Store.key('streak')
  if outcome.pause_for == '' then
    if outcome.status == '' or is_account_refused(outcome) then return end
    redis.call('INCR', passed)
    redis.call('DEL', streak)
    return Budget.trouble_is_over(now)
  end
  local met = outcome.trouble == '1' and redis.call('INCR', streak) or 0
  if outcome.trouble == '0' or met >= tonumber(outcome.pause_after) then
    local ends = string.format('%.0f', tonumber(now) + tonumber(outcome.pause_for))
    Budget.pause_until(ends, outcome.pause_reason, outcome.trouble == '1', now)
  end
end

local function settle(id, token, outcome)
  local is_message = id ~= ''
  if is_message then Store.make_room(id) end
  local is_errand = not is_message and Budget.end_errand(token)
  local m = is_message and Store.load(id) or Store.load_probe(now)
  local current = m.token == token
  if is_errand then
    if outcome.agent ~= '' then settle_ping(outcome) end
  elseif current and not is_message then
    redis.call('DEL', Store.key('probe'))
  elseif current then
    settle_message(m, outcome)
  elseif outcome.kind == 'confirmed' and outcome.message_id ~= '' and m.state ~= '' then
    Message.late(m, token, outcome.call_kind, outcome.message_id, policy, now)
    Store.save(m, policy, now)
  end
  Budget.ended(windows, token, outcome.kind == 'unsent' and outcome.status == '', now)
  if not current and not is_errand then return { outcome.message_id ~= '' and 'late' or 'stale', m.state } end
  Store.count('outcome_' .. outcome.kind)
  if outcome.status == '429' then Store.count('throttled') end
  settle_account(outcome)
  return { 'settled', m.state }
end

while at <= #ARGV do
  local last = at + 2 + tonumber(ARGV[at + 2])
  answers[#answers + 1] = settle(ARGV[at], ARGV[at + 1], Store.arguments(at + 3, last))
  at = last + 1
end
return answers
