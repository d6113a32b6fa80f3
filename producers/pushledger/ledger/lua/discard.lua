--[[ Drop what could not be done, and leave the chat as it is.
  Arguments, returns and the races it closes: operation.lua; what it does: Message.discard. ]]
return Operation.run(Message.discard, 'discard')
