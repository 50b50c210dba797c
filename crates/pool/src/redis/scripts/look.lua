-- The state of accounts, for people. ARGV: clock, then the names of credentials; or nothing and the fields of the caller
-- to look up. Answers the time and each account's fields with their values.
read_clock(unpack(call('HMGET', T, 'o', 'ah')))
local answer = {now}
if ARGV[2] == '' then
  local fields = {}
  for index, value in ipairs(call('HMGET', T, unpack(ARGV, 3))) do
    fields[2 * index - 1], fields[2 * index] = ARGV[2 + index], value or ''
  end
  answer[2] = fields
else
  for index = 2, #ARGV do
    local fields = call('HGETALL', T .. ':a:' .. ARGV[index])
    fields[#fields + 1], fields[#fields + 2] = 'n', call('HGET', T .. ':n', ARGV[index]) or '0'
    answer[index] = fields
  end
end
return answer
