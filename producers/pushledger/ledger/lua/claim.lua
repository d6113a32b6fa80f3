--[[ Take messages for delivery, each under a lease with a token of its own.
  KEYS[1] account prefix
  ARGV    now ('' = the server's clock), claim id, how many at most, lease in ms, windows ("100/3600000 …"),
          policy fields …
  Returns {next in ms or -1, strikes, now, row, row, …}, a row being {local id, token, field, value, …}.
  Closes: two workers taking one message; a dead worker's message waiting for ever (expired leases are
  taken back first); a claim sent again because its reply was lost: the claim id answers with the same
  rows and draws nothing twice. ]]
local FIELDS = { 'kind', 'wish', 'text', 'target', 'message_id', 'doomed', 'revision', 'attempts', 'failing_since',
  'waiting_since', 'shown_digest', 'text_digest' }
local now, claim_id, wanted = Store.now(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local lease_ms, windows = tonumber(ARGV[4]), Budget.windows(ARGV[5])
local policy = Store.policy({ unpack(ARGV, 6) })
local leases, claimed = Store.key('leases'), Store.key('claim', claim_id)
local rows = {}

local function row(m)
  local fields, seen = { m.id, m.token }, Message.as_claimed(m)
  for _, name in ipairs(FIELDS) do
    fields[#fields + 1] = name
    fields[#fields + 1] = seen[name]
  end
  return fields
end

local function answer(strikes) return { Due.next_in(windows, now), strikes, now, unpack(rows) } end

local function answer_again(ids)
  for index, id in ipairs(ids) do
    local m = Store.load(id)
    if m.token == claim_id .. '.' .. index then rows[#rows + 1] = row(m) end
  end
  return answer(0)
end

local function take_back_expired()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 100)) do
    local m = Store.load(id)
    if m.state == 'sending' then
      Message.take_back(m, policy, now)
      Store.save(m, policy, now)
      Store.count('lost_calls')
    else
      redis.call('ZREM', leases, id)
    end
  end
end

-- A message that needs no call is brought to rest here; any other one is taken. An entry that belongs to no
-- waiting message can only come from a hand at work in Redis: it is dropped, else it would be met for ever.
local function take(id, token, lease)
  local m = Store.load(id)
  if m.state ~= 'queued' and m.state ~= 'retrying' then
    for _, priority in ipairs(PRIORITIES) do redis.call('ZREM', Store.key('due', priority), id) end
    return m
  end
  local call = Message.gap(m)
  if Message.is_expired(m, now) and call then
    Message.expire(m, now)
  else
    Message.rest(m, policy, now)
    if (m.state == 'queued' or m.state == 'retrying') and tonumber(m.due) <= tonumber(now) then
      m.due = ''
      Message.claim(m, token, lease, now)
    end
  end
  Store.save(m, policy, now)
  return m
end

local ids = redis.call('LRANGE', claimed, 0, -1)
if #ids > 0 then return answer_again(ids) end

take_back_expired()
local strikes, pause = 0, Budget.pause(now)
if pause then
  if tonumber(pause['until']) > tonumber(now) then return answer(0) end
  strikes = tonumber(pause.strikes or 0)
  if pause.trouble == '1' then
    wanted = redis.call('ZCARD', leases) == 0 and math.min(wanted, 1) or 0
  else
    redis.call('DEL', Store.key('pause'))
  end
end

local free = Budget.free(windows, wanted, now)
local lease = string.format('%.0f', tonumber(now) + lease_ms)
for _, priority in ipairs(PRIORITIES) do
  if #rows >= free then break end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', Store.key('due', priority), '-inf', now, 'LIMIT', 0, free - #rows)) do
    local m = take(id, claim_id .. '.' .. (#ids + 1), lease)
    if m.token == claim_id .. '.' .. (#ids + 1) then
      ids[#ids + 1] = id
      rows[#rows + 1] = row(m)
      Budget.draw(windows, m.token, lease)
    end
  end
end
if #ids > 0 then
  redis.call('RPUSH', claimed, unpack(ids))
  redis.call('PEXPIRE', claimed, lease_ms)
  Store.count('calls', #ids)
end
return answer(strikes)
