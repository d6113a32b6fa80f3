--[[ Hand back what came of one call.
  KEYS[1] account prefix
  ARGV    now ('' = the server's clock), local id, token, windows, number of outcome fields, outcome fields …,
          policy fields …
  Outcome fields: kind, message_id, call_kind, status, error, summary, retry_in, attempt, give_up (Message.settle)
          and pause_for, pause_reason, trouble, pause_after (of the account; the pause begins when trouble was
          met that often in a row), remaining, reset_in (what the API said is left).
  Returns {'settled' | 'stale' | 'late', state}.
  Closes: a worker that comes too late writing over a newer one: with a token that is not current nothing
  changes, but a create's answer still hands in its message id (R8). A repetition finds its token no longer
  current and its id recorded, so it changes nothing. ]]
local now, id, token, windows = Store.now(ARGV[1]), ARGV[2], ARGV[3], Budget.windows(ARGV[4])
local outcome_end = 5 + tonumber(ARGV[5])
local outcome = Store.table({ unpack(ARGV, 6, outcome_end) })
local policy = Store.policy({ unpack(ARGV, outcome_end + 1) })
Store.make_room(id)
local m = Store.load(id)
local current = m.token == token

if current then
  Message.settle(m, outcome, policy, now)
  Store.save(m, policy, now)
elseif outcome.kind == 'confirmed' and outcome.message_id ~= '' and m.state ~= '' then
  Message.late(m, token, outcome.call_kind, outcome.message_id, policy, now)
  Store.save(m, policy, now)
end
Budget.ended(windows, token, outcome.kind == 'unsent' and outcome.status == '', now)
if not current then return { outcome.message_id ~= '' and 'late' or 'stale', m.state } end

Store.count('outcome_' .. outcome.kind)
Budget.heard(outcome.remaining, outcome.reset_in, now)
local streak = Store.key('streak')
if outcome.pause_for ~= '' then
  local met = outcome.trouble == '1' and redis.call('INCR', streak) or 0
  if outcome.trouble == '0' or met >= tonumber(outcome.pause_after) then
    local ends = string.format('%.0f', tonumber(now) + tonumber(outcome.pause_for))
    Budget.pause_until(ends, outcome.pause_reason, outcome.trouble == '1', now)
  end
else
  redis.call('DEL', streak)
  local pause = Budget.pause(now)
  if pause and pause.trouble == '1' then redis.call('DEL', Store.key('pause')) end
end
return { 'settled', m.state }
