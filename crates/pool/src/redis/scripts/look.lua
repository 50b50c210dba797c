-- The state of accounts, for people. ARGV: clock, then their names. Answers the time and each account's fields.
read_clock(unpack(call('HMGET', T, 'o', 'ah')))
local answer = {now}
for index = 2, #ARGV do
  local name = ARGV[index]
  if name == '' then
    answer[index] = call('HGETALL', T)
  else
    local fields = call('HGETALL', T .. ':a:' .. name)
    fields[#fields + 1], fields[#fields + 2] = 'n', call('HGET', T .. ':n', name) or '0'
    answer[index] = fields
  end
end
return answer
