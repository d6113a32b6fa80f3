--[[ How a message is kept: loads and saves one, with every index that must agree with it.
  KEYS[1] is the account's prefix, "pushledger:{account}:"; its hash tag puts all keys of the account into
  one slot, so keys made from a message's id here are reachable wherever KEYS[1] is.

  message:<id>   hash     everything about a message that waits, or that retention still keeps
  map            hash     id -> "1 kind revision version target_digest shown_digest message_id": the map.
                          An entry stands exactly while the id of the current copy is known
  jobs:<id>      hash     job_id -> receipt, expiring by itself (R7)
  timeline:<id>  list     "time event detail", bounded in length
  due:<priority> zset     id by the time it may be tried        leases   zset   id by the lease's end
  state:<state>  zset     id by the time it came to that state; kept for the states in INDEXED
  slots:<window> zset     token by the time its budget slot is free again
  lane:<digest>  zset     waiting creates of one visitor, see lane.lua
  pause          hash     until, reason, trouble, strikes   streak   string   calls in a row that met trouble
  budget         hash     what the API says is left         wake     string   a wake-up is under way
  claim:<id>     list     ids of one claim, for its replay   stats    hash     counters
  probe          hash     a probing GET in the air            turn     string   counts claims, for patience
  passed         string   counts answers that were no refusal of the account
  errands        zset     token of a call that belongs to no message, by its lease's end
  presence, agents, paced   agents that are kept online, see presence.lua
  audit          list     what people did, newest first   history   list   a sample of the counters each minute
  heartbeat      string   when a delivery last began
  rate           string   "share window window …", the budget that its worker keeps to
  signals        zset     "time kind detail" that the people on duty shall be told, by when a worker may take it
  signalled      hash     what they were last told of the account ]]
local PREFIX = KEYS[1]
local PRIORITIES = { 'high', 'normal', 'low' }
local STATES = { 'queued', 'retrying', 'held', 'failed', 'expired', 'deleted', 'delivered' }
local INDEXED = {}
for _, state in ipairs(STATES) do INDEXED[state] = true end
local Store, Lane = {}, nil

function Store.key(name, id) return PREFIX .. name .. (id and (':' .. id) or '') end

-- The clock is the server's, so that hosts need not agree; tests hand one in.
function Store.now(given)
  if given and given ~= '' then return given end
  local time = redis.call('TIME')
  return string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
end

function Store.table(flat)
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- The names and values that stand in ARGV from one place to another; what is left out reads ''.
function Store.arguments(from, to)
  local fields = Message.blank()
  for i = from, to, 2 do fields[ARGV[i]] = ARGV[i + 1] end
  return fields
end

local function copy(fields)
  local twin = {}
  for name, value in pairs(fields) do twin[name] = value end
  return twin
end

--[[ m.stored is what the hash holds, for writing only what changed; m.was is where the message stood,
  for moving it between the indexes. A delivered message may stand in the map alone. ]]
function Store.load(id)
  local fields = Store.table(redis.call('HGETALL', Store.key('message', id)))
  local stored = copy(fields)
  if not fields.state then
    local entry = redis.call('HGET', Store.key('map'), id)
    if entry then fields = Store.unpack_entry(entry) end
  end
  local m = Message.new(fields)
  m.id, m.stored = id, stored
  m.was = { state = m.state, queue = Store.queue(m), due = m.due, lease = m.lease, message_id = m.message_id,
    since = m.since }
  return m
end

-- A probing GET in the air, in the shape of a message without a local id; without a token if there is none.
function Store.load_probe(now)
  local probe = Message.new(Store.table(redis.call('HGETALL', Store.key('probe'))))
  probe.id, probe.call = '', 'probe'
  if probe.lease ~= '' and tonumber(probe.lease) <= tonumber(now) then probe.token = '' end
  return probe
end

-- The due set a message waits in: its own priority's, or that of one that waits behind it in the lane.
function Store.queue(m) return m.boost ~= '' and m.boost or m.priority end

local function dash(text) return text == '' and '-' or text end
local function undash(text) return text == '-' and '' or text end

function Store.pack_entry(m)
  return table.concat({ '1', m.kind, m.revision, dash(m.version), m.target_digest, dash(m.shown_digest), m.message_id }, ' ')
end

function Store.unpack_entry(entry)
  local v, kind, revision, version, target, shown, message_id = entry:match('^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (.*)$')
  return {
    v = v, state = 'delivered', wish = 'show', priority = 'normal', kind = kind, revision = revision, version = undash(version),
    target_digest = target, shown_digest = undash(shown), text_digest = undash(shown), message_id = message_id,
  }
end

function Store.count(name, by) redis.call('HINCRBY', Store.key('stats'), name, by or 1) end

--[[ Note what a person did: "time outcome document". The document carries an id of its own, so that a repetition is
  known by standing among the newest. Kept in bounds, whatever else happens. ]]
local AUDIT_LENGTH, AUDIT_LOOK = 10000, 20
function Store.audit(document, outcome, now)
  if (document or '') == '' then return end
  local key = Store.key('audit')
  for _, line in ipairs(redis.call('LRANGE', key, 0, AUDIT_LOOK - 1)) do
    if line:match('^%S+ %S+ (.*)$') == document then return end
  end
  redis.call('LPUSH', key, now .. ' ' .. outcome .. ' ' .. document)
  redis.call('LTRIM', key, 0, AUDIT_LENGTH - 1)
end

--[[ Something that the people on duty shall be told; signals.lua hands it out. Kept in bounds: when nobody takes them,
  the newest stay. What is told of is a change, so a script that runs twice notes it once. ]]
local SIGNALS = 1000
function Store.signal(kind, detail, now)
  local key = Store.key('signals')
  redis.call('ZADD', key, now, now .. ' ' .. kind .. ' ' .. detail)
  redis.call('ZREMRANGEBYRANK', key, 0, -SIGNALS - 1)
end

local TRANSIENT = { id = true, stored = true, was = true, events = true }

local function save_fields(m)
  local key, set, gone = Store.key('message', m.id), {}, {}
  for name, value in pairs(m) do
    if not TRANSIENT[name] and value ~= '' and value ~= m.stored[name] then
      set[#set + 1] = name
      set[#set + 1] = value
    end
  end
  for name in pairs(m.stored) do
    if m[name] == '' then gone[#gone + 1] = name end
  end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
  if #set > 0 then redis.call('HSET', key, unpack(set)) end
end

-- How long the hash of a message that has come to rest is kept; nil: until it moves on.
local function kept_for(m, policy)
  local marked = m.unknown ~= '' or m.unknown_before ~= '' or m.resent ~= ''
  if m.state == 'deleted' then return policy.tombstone end
  if m.state == 'failed' or m.state == 'expired' then return policy.failed end
  if m.state == 'delivered' and not marked then return policy.retention end
  return nil
end

local function signal_change(m, now)
  if m.state ~= m.was.state and (m.state == 'held' or m.state == 'failed') then
    Store.signal(m.state, m.reason .. ' ' .. m.id, now)
  end
end

local function save_message(m, policy, now)
  local kept_ms = kept_for(m, policy)
  if m.state == 'deleted' or (m.state == 'delivered' and policy.retention == 0) then m.text, m.target = '', '' end
  if kept_ms == 0 then return redis.call('DEL', Store.key('message', m.id)) end
  save_fields(m)
  if kept_ms then
    -- Counted from when it came to rest, like the index, however often a job finds nothing to change.
    redis.call('PEXPIRE', Store.key('message', m.id), math.max(1, kept_ms - (tonumber(now) - tonumber(m.since))))
  elseif m.was.state ~= m.state then
    redis.call('PERSIST', Store.key('message', m.id))
  end
end

local function leave_indexes(m)
  local was, id = m.was, m.id
  if was.state == 'sending' and m.state ~= 'sending' then redis.call('ZREM', Store.key('leases'), id) end
  if was.due ~= '' and (m.due == '' or was.queue ~= Store.queue(m)) then redis.call('ZREM', Store.key('due', was.queue), id) end
  if was.state ~= m.state and INDEXED[was.state] then redis.call('ZREM', Store.key('state', was.state), id) end
  if was.message_id ~= '' and m.message_id == '' then redis.call('HDEL', Store.key('map'), id) end
end

local function enter_indexes(m, policy, now)
  local was, id = m.was, m.id
  local settled = m.state == 'delivered' or m.state == 'failed'
  if m.message_id ~= '' and (settled or m.message_id ~= was.message_id) then
    redis.call('HSET', Store.key('map'), id, Store.pack_entry(m))
  end
  if m.due ~= '' and (was.due ~= m.due or was.queue ~= Store.queue(m)) then
    redis.call('ZADD', Store.key('due', Store.queue(m)), m.due, id)
  end
  if m.state == 'sending' and was.lease ~= m.lease then redis.call('ZADD', Store.key('leases'), m.lease, id) end
  local listed = INDEXED[m.state] and not (m.state == 'delivered' and policy.retention == 0)
  if (was.state ~= m.state or was.since ~= m.since) and listed then
    local key, kept_ms = Store.key('state', m.state), kept_for(m, policy)
    redis.call('ZADD', key, m.since, id)
    if kept_ms then redis.call('ZREMRANGEBYSCORE', key, '-inf', tonumber(now) - kept_ms) end
  end
end

--[[ A script whose first write is a removal, though of nothing, may go on writing on a full server: so an
  answer's message id is never refused for lack of room. ]]
function Store.make_room(id) redis.call('HDEL', Store.key('message', id), '') end

-- A message that stands in the map alone stays there until something happens to it.
function Store.save(m, policy, now)
  if not m.stored.state and #m.events == 0 then return end
  if m.since == '' then m.since = now end
  if m.state ~= 'queued' and m.state ~= 'retrying' then m.due = '' end
  local lane = Lane.left(m)
  if lane then m.laned, m.boost = '', '' end
  leave_indexes(m)
  Lane.arrive(m, now)
  save_message(m, policy, now)
  enter_indexes(m, policy, now)
  signal_change(m, now)
  Store.write_timeline(m, policy, now)
  if lane then Lane.leave(m, lane, policy, now) end
end

function Store.write_timeline(m, policy, now)
  if #m.events == 0 then return end
  local key, lines = Store.key('timeline', m.id), {}
  local final = m.state == 'delivered' or m.state == 'deleted'
  if final and policy.timeline == 0 then
    redis.call('DEL', key)
    return
  end
  for i, event in ipairs(m.events) do lines[i] = now .. ' ' .. event end
  if redis.call('RPUSH', key, unpack(lines)) > policy.timeline_length then
    redis.call('LTRIM', key, -policy.timeline_length, -1)
  end
  if final then
    redis.call('PEXPIRE', key, policy.timeline)
  elseif m.was.state == 'delivered' or m.was.state == 'deleted' then
    redis.call('PERSIST', key)
  end
end

-- Durations of the policy are numbers here; an unset limit stays ''.
function Store.policy(from, to)
  local policy = Store.arguments(from, to or #ARGV)
  for _, name in ipairs({ 'retention', 'tombstone', 'timeline', 'timeline_length', 'settle_delay', 'max_claims', 'failed',
    'fold_for', 'lane_wait', 'max_backlog', 'patience', 'ping_every' }) do
    policy[name] = tonumber(policy[name])
  end
  return policy
end
