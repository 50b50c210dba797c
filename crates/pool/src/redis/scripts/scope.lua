-- Rests: the twin of rest.rs. A scope is a table: reason, till, guessed, seq, probe, lock (the rest), lreason,
-- count, lseq (the ladder), cleared, changed. It is stored as these in order, separated by bars.
local SCOPE = '^(%d*)|(%d*)|(%d*)|(%d*)|(%d*)|(%d*)|(%d*)|(%d*)|(%d*)|(%d*)|(%d*)$'
local OPEN, HALF_OPEN, CLOSED = 0, 1, 2
local UNAUTHORIZED, QUOTA_EXHAUSTED = 3, 2
local PROBE_LOCK = 30000000

local function read_scope(text, cleared, changed)
  if not text then return {cleared = cleared, changed = changed or 0} end
  local r, t, g, q, p, k, lr, lc, lq, cl, ch = match(text, SCOPE)
  return {reason = tonumber(r), till = tonumber(t), guessed = g == '1', seq = tonumber(q),
    probe = tonumber(p), lock = tonumber(k), lreason = tonumber(lr), count = tonumber(lc), lseq = tonumber(lq),
    cleared = tonumber(cl), changed = tonumber(ch)}
end

local function write_scope(s)
  return concat({digits(s.reason), digits(s.till), s.guessed and '1' or '', digits(s.seq), digits(s.probe),
    digits(s.lock), digits(s.lreason), digits(s.count), digits(s.lseq), digits(s.cleared), digits(s.changed)}, '|')
end

local function lift(s)
  s.reason, s.till, s.guessed, s.seq, s.probe, s.lock = nil, nil, nil, nil, nil, nil
end

local function drop_ladder(s)
  s.lreason, s.count, s.lseq = nil, nil, nil
end

local function standing(s)
  if not s.reason then return OPEN end
  if s.till > now then return CLOSED, s.till, s.reason end
  if not s.guessed then return OPEN end
  if s.probe and s.lock > now then return CLOSED, s.lock, s.reason end
  return HALF_OPEN
end
