--[[ One page of a list of messages, from the place where the page before it ended.
  KEYS[1] account prefix
  ARGV    now ('' = the server's clock), name of the list ("state:failed", "leases"), 'newest' or 'oldest' first, how many
          messages at most, how many to look at at most, score and id of the last one looked at ('' and '' to begin),
          what to do with them ('' for nothing, retry, resend, discard, delete), number of filter fields, filter
          fields …, policy fields …
  Filter fields, '' for any: prefix (of the id), reason, priority, from, to (milliseconds; when it came to the list).
  Returns {looked at, left, last score or '' at the end, last id, refused, calls, id, id, …}; `calls` is what doing it to
  these would cost, and `refused` how many it does not fit. Reads only, so it may run twice.
  Places are of score and id, not of rank: what comes and goes between two pages neither repeats nor hides others. ]]
local now, list, newest = Store.now(ARGV[1]), PREFIX .. ARGV[2], ARGV[3] == 'newest'
local wanted, most, last_score, last_id = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], ARGV[7]
local action, filter_end = ARGV[8], 9 + tonumber(ARGV[9])
local filter, policy = Store.arguments(10, filter_end), Store.policy(filter_end + 1)
local DELETE = { verb = 'delete', version = '', priority = 'normal', not_before = '', expires_at = '', max_resends = '',
  text = '', text_digest = '', target_digest = '' }
local CHANGES = { retry = Message.retry, resend = Message.resend, discard = Message.discard,
  delete = function(m) return Message.accept(m, DELETE, policy, now) end }

-- Byte by byte, as Redis orders ties: Lua's own comparison goes by the server's locale.
local function comes_before(a, b)
  for i = 1, math.min(#a, #b) do
    local one, other = a:byte(i), b:byte(i)
    if one ~= other then return one < other end
  end
  return #a < #b
end

local function ranked(from, to) return redis.call(newest and 'ZREVRANGE' or 'ZRANGE', list, from, to, 'WITHSCORES') end

-- The rank of the first one behind the last place. Many may share a score: the place among them is halved out.
local function begin_at()
  if last_score == '' then return 0 end
  local low = newest and redis.call('ZCOUNT', list, '(' .. last_score, '+inf') or redis.call('ZCOUNT', list, '-inf', '(' .. last_score)
  local high = low + redis.call('ZCOUNT', list, last_score, last_score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local id = ranked(middle, middle)[1]
    local passed = id == last_id
    if not passed and newest then passed = comes_before(last_id, id) end
    if not passed and not newest then passed = comes_before(id, last_id) end
    if passed then low = middle + 1 else high = middle end
  end
  return low
end

local function fits(id, score)
  if filter.prefix ~= '' and id:sub(1, #filter.prefix) ~= filter.prefix then return false end
  if filter.from ~= '' and tonumber(score) < tonumber(filter.from) then return false end
  if filter.to ~= '' and tonumber(score) > tonumber(filter.to) then return false end
  for _, field in ipairs({ 'reason', 'priority' }) do
    if filter[field] ~= '' and redis.call('HGET', Store.key('message', id), field) ~= filter[field] then return false end
  end
  return true
end

local at, size, looked, refused, calls, found = begin_at(), redis.call('ZCARD', list), 0, 0, 0, {}

local function take(id)
  if action ~= '' then
    -- What is only looked at needs no memory of what it was; that would be half of the cost.
    local m = Message.new(Store.table(redis.call('HGETALL', Store.key('message', id))))
    if m.state == '' then m = Store.load(id) end
    if not CHANGES[action](m, Message.new({}), policy, now) then
      refused = refused + 1
      return
    end
    if m.state == 'queued' or m.state == 'retrying' or m.state == 'sending' then calls = calls + Message.calls(m) end
  end
  found[#found + 1] = id
end

while #found < wanted and looked < most and at < size do
  local batch = ranked(at, at + math.min(wanted - #found, most - looked) - 1)
  if #batch == 0 then break end
  for i = 1, #batch, 2 do
    last_id, last_score = batch[i], batch[i + 1]
    at, looked = at + 1, looked + 1
    if fits(last_id, last_score) then take(last_id) end
  end
end
if at >= size then last_score, last_id = '', '' end
return { looked, math.max(0, size - at), last_score, last_id, refused, calls, unpack(found) }
