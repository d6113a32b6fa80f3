--[[ Send a held message once more, although it may be visible already.
  Arguments, returns and the races it closes: operation.lua; what it does: Message.resend. ]]
return Operation.run(Message.resend, 'resend')
