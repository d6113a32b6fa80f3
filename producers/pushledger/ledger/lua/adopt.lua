--[[ Take a message under the ledger that exists already. Fields: message_id, kind, life, target_digest, lane,
  text_digest, version.
  Arguments, returns and the races it closes: operation.lua; what it does: Message.adopt. ]]
return Operation.run(Message.adopt, 'adopt')
