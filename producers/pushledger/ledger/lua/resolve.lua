--[[ Tell a held message the id of its copy. Field: message_id.
  Arguments, returns and the races it closes: operation.lua; what it does: Message.resolve. ]]
return Operation.run(Message.resolve, 'resolve')
