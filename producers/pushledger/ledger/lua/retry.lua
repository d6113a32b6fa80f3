--[[ Try a failed or expired message again.
  Arguments, returns and the races it closes: operation.lua; what it does: Message.retry. ]]
return Operation.run(Message.retry, 'retry')
