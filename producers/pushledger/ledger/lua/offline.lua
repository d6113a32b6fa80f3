--[[ Stop keeping an agent online; the API shows it so for some minutes after its last ping.
  KEYS[1] account prefix        ARGV  now, agent, what the audit trail shall say ('' for nothing)
  Returns 1 if it was kept online. Run twice, it finds nothing the second time. ]]
local found = Presence.drop(ARGV[2])
if found == 1 then Store.audit(ARGV[3], 'let_go', Store.now(ARGV[1])) end
return found
