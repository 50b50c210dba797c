-- The breaker of an endpoint: the twin of breaker.rs. Stored as state|till|lease|failures|changed.
local SHUT, TRIPPED, PROBING = 0, 1, 2
local circuit

local function read_circuit(text)
  if not text then
    circuit = {state = SHUT, failures = 0, changed = 0}
    return
  end
  local state, till, lease, failures, changed = match(text, '^(%d)|(%d*)|(%d*)|(%d+)|(%d+)$')
  circuit = {state = tonumber(state), till = tonumber(till), lease = tonumber(lease),
    failures = tonumber(failures), changed = tonumber(changed)}
end

local function write_circuit()
  return concat({circuit.state, digits(circuit.till), digits(circuit.lease), circuit.failures, digits(circuit.changed)}, '|')
end

-- OPEN, HALF_OPEN or CLOSED to calls, and until when.
local function gate()
  if circuit.state == SHUT then return OPEN end
  if circuit.till > now then return CLOSED, circuit.till end
  return HALF_OPEN
end

local function trip(seq, open_for)
  circuit.state, circuit.till, circuit.lease = TRIPPED, now + open_for, nil
  circuit.failures, circuit.changed = 0, seq
end

local function answered(lease, seq)
  if lease < circuit.changed then return end
  circuit.failures = 0
  if circuit.state ~= SHUT then
    circuit.state, circuit.till, circuit.lease, circuit.changed = SHUT, nil, nil, seq
  end
end

local function failed(lease, seq, failures, open_for)
  if lease < circuit.changed then return end
  circuit.failures = circuit.failures + 1
  if (failures > 0 and circuit.failures >= failures) or circuit.state ~= SHUT then trip(seq, open_for) end
end

local function undecided(lease)
  if circuit.state == PROBING and circuit.lease == lease then
    circuit.state, circuit.till, circuit.lease = TRIPPED, now, nil
  end
end
