-- What changes a rest; needs scope.lua. Sequence numbers order picks, refusals and clearings of one tag.
local function free_probe(s, lease)
  if s.probe == lease then s.probe, s.lock = nil, nil end
end

local function clear(s, seq)
  lift(s)
  drop_ladder(s)
  s.cleared = seq
end

-- Merges in a refusal: {reason, length} or {reason, first, bound} where the length is guessed. Returns the
-- scope as it was, or nil when nothing changed.
local function refuse(s, lease, seq, rest)
  free_probe(s, lease)
  if lease < s.cleared or (rest.reason == UNAUTHORIZED and lease < s.changed) then return nil end
  local lreason, count, lseq = s.lreason, s.count, s.lseq
  local length = rest.length
  if not length then
    local before = 0
    if s.lreason == rest.reason then
      if lease < s.lseq then return nil end
      before = s.count
    end
    lreason, count, lseq = rest.reason, before + 1, seq
    length = min(rest.first * 2 ^ min(before, 16), rest.bound)
  end
  local till = now + length
  if till <= now or (s.reason and s.till >= till) then return nil end
  local undo = write_scope(s)
  s.lreason, s.count, s.lseq = lreason, count, lseq
  s.reason, s.till, s.guessed, s.seq = rest.reason, till, not rest.length, seq
  s.probe, s.lock = nil, nil
  return undo
end

-- Puts back the rest and the ladder that a refusal replaced, unless something newer did. Returns whether.
local function withdraw(s, seq, undo)
  if not s.reason or s.seq ~= seq then return false end
  local before = read_scope(undo)
  s.reason, s.till, s.guessed, s.seq = before.reason, before.till, before.guessed, before.seq
  s.probe, s.lock = before.probe, before.lock
  s.lreason, s.count, s.lseq = before.lreason, before.count, before.lseq
  return true
end

-- Returns whether it opened.
local function succeed(s, lease, seq)
  if s.reason and s.guessed and s.seq < lease then
    clear(s, seq)
    return true
  end
  if s.reason and (s.guessed or s.till > now) then return false end
  lift(s)
  if s.lseq and s.lseq < lease then drop_ladder(s) end
  return false
end
