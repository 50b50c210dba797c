-- Reads a page of some hashes of counts.
--
-- KEYS: store, then the hashes
-- ARGV: clock (unused), which fields, about how many of each hash, then where each goes on
-- Answers {epoch or "", number of folds, {where it goes on; 0 at the end, {field, value, …}}, …}

local store = redis.call('HMGET', KEYS[1], 'epoch', 'folds')
local answer = {store[1] or '', store[2] or '0'}
for at = 2, #KEYS do
  answer[at + 1] = redis.call('HSCAN', KEYS[at], ARGV[at + 2], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
end
return answer
