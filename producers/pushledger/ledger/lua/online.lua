--[[ Keep an agent online.
  KEYS[1] account prefix
  ARGV    now ('' = the server's clock), agent, until ('' for a duration), duration in ms ('' for a time), what the
          audit trail shall say ('' for nothing)
  Returns the time until which it is wanted, or '' when that is over already. Run twice, a duration is counted from the
  second time; nothing else differs. ]]
local now, agent, ends = Store.now(ARGV[1]), ARGV[2], ARGV[3]
if ends == '' then ends = string.format('%.0f', tonumber(now) + tonumber(ARGV[4])) end
if tonumber(ends) <= tonumber(now) then return '' end
Presence.want(agent, ends, now)
Store.audit(ARGV[5], 'kept_online', now)
return ends
