--[[ Stop keeping an agent online; the API shows it so for some minutes after its last ping.
  KEYS[1] account prefix        ARGV  now (of no use here), agent
  Returns 1 if it was kept online. Run twice, it finds nothing the second time. ]]
return Presence.drop(ARGV[2])
