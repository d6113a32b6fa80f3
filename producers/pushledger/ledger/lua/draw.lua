--[[ Draw one call from the budget for an errand: a reading that belongs to no message's delivery.
  KEYS[1] account prefix
  ARGV    now ('' = the server's clock), token, windows, share kept for high priority, lease in ms,
          polite ('1': only when no message can be sent instead)
  Returns {1, 0, ''} when it is drawn, else {0, ms to wait, 'paused' | 'budget' | 'messages'}.
  Run twice with the same token, it draws once. The call ends with settle, or with its lease.
  A pause whose time is over does not hold it back: perhaps nothing is due, and no claim comes to end it. One for
  trouble is probed by the reading itself, unless another call does so already (R11). ]]
local now, token, windows, share = Store.now(ARGV[1]), ARGV[2], Budget.windows(ARGV[3]), tonumber(ARGV[4])
local lease = string.format('%.0f', tonumber(now) + tonumber(ARGV[5]))

local function wait(at, reason) return { 0, math.max(1, math.ceil((at or tonumber(now)) - tonumber(now))), reason } end

if Budget.is_errand(token) then return { 1, 0, '' } end
local pause = Budget.pause(now)
if pause and tonumber(pause['until']) > tonumber(now) then return wait(tonumber(pause['until']), 'paused') end
if pause and pause.trouble == '1' and Budget.is_calling(now) then return wait(tonumber(now) + 1000, 'paused') end
local free = Budget.free(windows, share, now)
if free.common <= 0 then return wait(free.common_at, 'budget') end
if ARGV[6] == '1' and Due.messages_at(free) and Due.messages_at(free) <= tonumber(now) then
  return wait(tonumber(now) + 1000, 'messages')
end
Budget.begin_errand(token, lease, now)
Budget.draw(windows, share, token, lease, 'low')
Store.count('calls')
return { 1, 0, '' }
