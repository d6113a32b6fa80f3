--[[ The message: what the ledger knows of one local id, and every decision over it.
  Pure: no redis.call, no clock, no randomness. A message is a table of strings in which an absent
  field reads ''. Functions change the table they are given and note what happened in m.events;
  store.lua loads and saves it. Numbers are milliseconds since the epoch, kept as decimal strings.
  jobs.lua, calls.lua and decisions.lua go on with it; docs/record.md lists the fields.
  R1..R14 are the rules of docs/guarantees.md. ]]
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

local function doom(m, kind, id)
  m.doomed = add(m.doomed, kind .. ' ' .. id, '\n')
end

-- Creates without known outcome are remembered beyond the life they belong to (R6).
local function keep_unknown(m)
  for token in m.unknown:gmatch('%S+') do m.unknown_before = add(m.unknown_before, token, ' ') end
end
