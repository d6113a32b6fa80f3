--[[ Note in the audit trail what is done to many messages at once.
  KEYS[1] account prefix        ARGV  now ('' = the server's clock), outcome, what the audit trail shall say
  Returns 1. Run twice, it notes it once. ]]
Store.audit(ARGV[3], ARGV[2], Store.now(ARGV[1]))
return 1
