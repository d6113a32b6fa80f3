--[[ Agents that are kept online: each is pinged every `ping_every` for as long as it is wanted. An agent is named by
  the JSON of the API's own fields.
  presence  zset    agent by the time of its next ping
  agents    hash    agent -> "until pinged status refusals refused_at": wanted until, last confirmed ping, status of a
                    refused one, and as in Message.is_refused_alone
  paced     string  no ping goes out before this time
  A ping is taken once for all processes, as its next time is written down with it; one that gets lost is not made up
  for, as the next comes within a minute. After an outage each agent is pinged once, one after the other. ]]
local Presence = {}
local LONGEST_PACE = 1000

local function read(agent)
  local line = redis.call('HGET', Store.key('agents'), agent)
  if not line then return nil end
  local ends, pinged, status, refusals, refused_at = line:match('^(%d+) (%S+) (%S+) (%S+) (%S+)$')
  return { ends = ends, pinged = pinged, status = status, refusals = undash(refusals), refused_at = undash(refused_at) }
end

local function write(agent, seen)
  local line = { seen.ends, seen.pinged, seen.status, dash(seen.refusals), dash(seen.refused_at) }
  redis.call('HSET', Store.key('agents'), agent, table.concat(line, ' '))
end

function Presence.want(agent, ends, now)
  local seen = read(agent) or { pinged = '-', status = '-', refusals = '', refused_at = '' }
  local refused = seen.status ~= '-'
  seen.ends, seen.status = ends, '-'
  write(agent, seen)
  if refused then redis.call('ZREM', Store.key('presence'), agent) end
  redis.call('ZADD', Store.key('presence'), 'NX', now, agent)
end

function Presence.drop(agent)
  redis.call('ZREM', Store.key('presence'), agent)
  return redis.call('HDEL', Store.key('agents'), agent)
end

-- The agent whose ping is due, or nil. One whose time is over is dropped.
function Presence.due(now)
  if tonumber(redis.call('GET', Store.key('paced')) or 0) > tonumber(now) then return nil end
  for _, agent in ipairs(redis.call('ZRANGEBYSCORE', Store.key('presence'), '-inf', now, 'LIMIT', 0, 100)) do
    local seen = read(agent)
    if seen and tonumber(seen.ends) > tonumber(now) then return agent end
    Presence.drop(agent)
  end
  return nil
end

-- The agent to ping now, or nil.
function Presence.take(policy, now)
  local key, agent = Store.key('presence'), Presence.due(now)
  if not agent then return nil end
  local pace = math.min(LONGEST_PACE, math.floor(policy.ping_every / redis.call('ZCARD', key)))
  redis.call('ZADD', key, string.format('%.0f', tonumber(now) + policy.ping_every), agent)
  redis.call('SET', Store.key('paced'), string.format('%.0f', tonumber(now) + pace), 'PX', math.max(1, pace))
  return agent
end

-- The account refused this agent's pings, and nothing else: that is no reason to hold up every message (R11).
function Presence.is_refused_alone(agent, passed)
  local seen = read(agent)
  if not seen then return false end
  local alone = Message.is_refused_alone(seen, passed)
  write(agent, seen)
  return alone
end

-- A refused agent is not pinged again, and stays to be seen until its time is over.
function Presence.settle(agent, outcome, now)
  local seen = read(agent)
  if not seen then return end
  if outcome.kind == 'confirmed' then
    seen.pinged, seen.status, seen.refusals, seen.refused_at = now, '-', '', ''
  elseif outcome.kind == 'refused' then
    seen.status = outcome.status
    redis.call('ZADD', Store.key('presence'), 'XX', seen.ends, agent)
  end
  write(agent, seen)
end

-- When the next ping is to be made, budget left aside; nil for none.
function Presence.next_at()
  local head = redis.call('ZRANGE', Store.key('presence'), 0, 0, 'WITHSCORES')
  if not head[2] then return nil end
  return math.max(tonumber(head[2]), tonumber(redis.call('GET', Store.key('paced')) or 0))
end
