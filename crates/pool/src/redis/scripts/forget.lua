-- Takes a lane out of the tag; needs lane.lua, tag.lua and account.lua.
local function forget(lane)
  local names = call('ZRANGE', key('l', lane), 0, -1)
  for _, name in ipairs(call('HKEYS', key('v', lane))) do
    names[#names + 1] = name
    local parked = call('HGET', account_key(name), 'pk')
    if parked then call('HSET', account_key(name), 'pk', (string.gsub(parked, lane.id .. ',', ''))) end
  end
  for _, name in ipairs(names) do
    if call('HINCRBY', T .. ':m', name, -1) <= 0 then
      call('HDEL', T .. ':m', name)
      if call('HGET', T .. ':n', name) == '0' then call('HDEL', T .. ':n', name) end
    end
  end
  for _, letter in ipairs({'l', 'x', 'y', 'z', 'v', 'd', 'g'}) do call('DEL', key(letter, lane)) end
  call('HDEL', T .. ':L', lane.id)
  call('HDEL', T, 'k:' .. lane.id)
  followers = string.gsub(followers, lane.id .. ',', '')
  lanes[lane.id] = nil
end
