--[[ Take messages for delivery, each under a lease with a token of its own.
  KEYS[1] account prefix
  ARGV    now ('' = the server's clock), claim id, how many at most, lease in ms, windows ("100/3600000 …"),
          share of each window kept for high priority (0 to 1), policy fields …
  Returns {next in ms or -1, strikes, now, row, row, …}, a row being {local id, token, field, value, …}.
  Closes: two workers taking one message; a dead worker's message waiting for ever (expired leases are
  taken back first); a claim sent again because its reply was lost: the claim id answers with the same
  messages and draws nothing twice for them (a ping is not repeated: see presence.lua). ]]
local FIELDS = { 'kind', 'wish', 'text', 'target', 'message_id', 'doomed', 'revision', 'attempts', 'failing_since',
  'waiting_since', 'shown_digest', 'text_digest' }
local now, claim_id, wanted = Store.now(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local lease_ms, windows = tonumber(ARGV[4]), Budget.windows(ARGV[5])
local share, policy = tonumber(ARGV[6]), Store.policy(7)
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

local function answer(strikes) return { Due.next_in(windows, share, now), strikes, now, unpack(rows) } end

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
      if call ~= 'send' or m.lane == '' or Lane.may_go(m, policy, now) then
        m.due = ''
        Message.claim(m, token, lease, now)
        if m.call_resend == '1' then Store.count('sent_again') end
      end
    end
  end
  Store.save(m, policy, now)
  return m
end

-- The due messages of each priority, as far as they could be taken now.
local function read_due(most)
  local waiting = {}
  for _, priority in ipairs(PRIORITIES) do
    local flat = redis.call('ZRANGEBYSCORE', Store.key('due', priority), '-inf', now, 'WITHSCORES', 'LIMIT', 0, most)
    waiting[priority] = { flat = flat, at = 1 }
  end
  return waiting
end

--[[ The next message: by priority, but every fourth one goes to whoever has been due for longer than `patience`, so
  that nothing starves behind higher priorities. Calls that are not of high priority leave their share alone. ]]
local function pick(waiting, free, turn)
  local chosen, since = nil, nil
  for _, priority in ipairs(PRIORITIES) do
    local queue = waiting[priority]
    local id, due = queue.flat[queue.at], tonumber(queue.flat[queue.at + 1] or 0)
    local left = priority == 'high' and free.all or math.min(free.all, free.common)
    if id and left > 0 then
      local impatient = turn % 4 == 3 and due <= tonumber(now) - policy.patience
      if not chosen or (impatient and due < since) then chosen, since = priority, due end
    end
  end
  if not chosen then return nil end
  local queue = waiting[chosen]
  queue.at = queue.at + 2
  return queue.flat[queue.at - 2], chosen
end

local lease = string.format('%.0f', tonumber(now) + lease_ms)
local ids = redis.call('LRANGE', claimed, 0, -1)

local function keep(m, priority, free)
  ids[#ids + 1] = m.id
  rows[#rows + 1] = row(m)
  Budget.draw(windows, share, m.token, lease, priority)
  free.all, free.common = free.all - 1, free.common - (priority == 'high' and 0 or 1)
end

local function next_token() return claim_id .. '.' .. (#ids + 1) end

local function claim_due(free)
  local turn = tonumber(redis.call('GET', Store.key('turn')) or 0)
  local waiting = read_due(wanted)
  while #rows < wanted do
    local id, priority = pick(waiting, free, turn + #rows)
    if not id then break end
    local m = take(id, next_token(), lease)
    if m.token == next_token() then keep(m, priority, free) end
  end
  if #rows > 0 then redis.call('INCRBY', Store.key('turn'), #rows) end
end

-- Pings come after every message that may go now, and one at a time.
local function claim_ping(free)
  if #rows >= wanted or math.min(free.all, free.common) <= 0 then return end
  local agent = Presence.take(policy, now)
  if not agent then return end
  local ping = Message.new({ id = '', call = 'ping', target = agent, token = claim_id .. '.ping' })
  rows[#rows + 1] = row(ping)
  Budget.begin_errand(ping.token, lease, now)
  Budget.draw(windows, share, ping.token, lease, 'low')
end

-- A pause is never probed with a create while anything else can serve (R11): a due edit or removal, else a GET. A ping
-- that is due is reason to probe, and no probe itself.
local function claim_probe(free)
  if free.all <= 0 or redis.call('ZCARD', leases) > 0 or Store.load_probe(now).token ~= '' then return end
  local due = 0
  for priority, queue in pairs(read_due(20)) do
    for at = 1, #queue.flat, 2 do
      due = due + 1
      local id = queue.flat[at]
      local call = Message.gap(Store.load(id))
      if call and call ~= 'send' then
        local m = take(id, next_token(), lease)
        if m.token == next_token() then return keep(m, priority, free) end
      end
    end
  end
  if due == 0 and not Presence.due(now) then return end
  local picked = redis.call('HRANDFIELD', Store.key('map'), 1)
  local id = picked and picked[1]
  local known = id and Store.unpack_entry(redis.call('HGET', Store.key('map'), id)) or { kind = 'pushed', message_id = 'probe' }
  redis.call('HSET', Store.key('probe'), 'token', next_token(), 'call_kind', known.kind, 'call_id', known.message_id,
    'lease', lease)
  redis.call('PEXPIRE', Store.key('probe'), lease_ms)
  keep(Store.load_probe(now), 'high', free)
end

local function answer_again()
  for index, id in ipairs(ids) do
    local m, token = id == '' and Store.load_probe(now) or Store.load(id), claim_id .. '.' .. index
    if m.token == token then rows[#rows + 1] = row(m) end
  end
  return answer(0)
end

if #ids > 0 then return answer_again() end

take_back_expired()
local strikes, pause, probing = 0, Budget.pause(now), false
if pause then
  if tonumber(pause['until']) > tonumber(now) then return answer(0) end
  strikes, probing = tonumber(pause.strikes or 0), pause.trouble == '1'
  if not probing then redis.call('DEL', Store.key('pause')) end
end
local free = Budget.free(windows, share, now)
if probing then
  claim_probe(free)
else
  claim_due(free)
  claim_ping(free)
end
if #ids > 0 then
  redis.call('RPUSH', claimed, unpack(ids))
  redis.call('PEXPIRE', claimed, lease_ms)
end
if #rows > 0 then Store.count('calls', #rows) end
return answer(strikes)
