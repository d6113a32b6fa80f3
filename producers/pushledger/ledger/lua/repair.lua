--[[ Bring back what the API was seen to show otherwise than the ledger believes. Fields: finding (differs, gone),
  message_id and revision as they were when it was read, seen_digest of the text that was read, life for a new one.
  Arguments, returns and the races it closes: operation.lua; what it does: Message.repair. ]]
return Operation.run(Message.repair, 'repair')
