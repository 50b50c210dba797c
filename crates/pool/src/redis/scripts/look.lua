-- The state of accounts, for people. ARGV: clock, then their names. Answers the time and each account's fields.
read_clock(unpack(call('HMGET', T, 'o', 'ah')))
local answer = {now}
for index = 2, #ARGV do answer[index] = call('HGETALL', T .. ':a:' .. ARGV[index]) end
return answer
