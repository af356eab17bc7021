-- Before each script. Amounts are whole numbers of up to 25 digits as text; Lua's numbers are exact up to 16 digits, so
-- sums and comparisons are made in two parts: value = hi * 1000000000 + lo, both of one sign when read.
local B = 1000000000

local function split(text)
  local sign = 1
  if string.byte(text, 1) == 45 then
    sign, text = -1, string.sub(text, 2)
  end
  if #text <= 9 then
    return 0, sign * tonumber(text)
  end
  return sign * tonumber(string.sub(text, 1, -10)), sign * tonumber(string.sub(text, -9))
end

local function join(hi, lo)
  local carry = math.floor(lo / B)
  hi, lo = hi + carry, lo - carry * B
  if hi < 0 and lo > 0 then
    hi, lo = hi + 1, lo - B
  end
  if hi == 0 then
    return string.format('%d', lo)
  end
  return string.format('%d%09d', hi, math.abs(lo))
end

local function add(a, b)
  local ah, al = split(a)
  local bh, bl = split(b)
  return join(ah + bh, al + bl)
end

local function sub(a, b)
  local ah, al = split(a)
  local bh, bl = split(b)
  return join(ah - bh, al - bl)
end

-- Negative, zero or positive as a is less than, equal to or more than b. The size may be rounded, the sign is not.
local function compare(a, b)
  local ah, al = split(a)
  local bh, bl = split(b)
  return (ah - bh) * B + (al - bl)
end

local function positive(a)
  if string.byte(a, 1) == 45 then
    return '0'
  end
  return a
end

-- A count that starts again with each window, kept as 'unit:start:value': its start and value once the window of `now`,
-- which begins at `start`, is asked for. Somebody whose clock is a little behind counts in the newer window; one far
-- behind means that the clock was set back, and then the count stays; a third answer says that its start has moved.
local function roll(text, unit, start, now)
  if text then
    local u, s, v = string.match(text, '^(%a+):(-?%d+):(-?%d+)$')
    s = tonumber(s)
    if u == unit and start <= s then
      if s - now > 5000 then
        return start, v, true
      end
      return s, v
    end
  end
  return start, '0'
end

local function tally(unit, start, value)
  return unit .. ':' .. string.format('%d', start) .. ':' .. value
end

-- month, used of its quota, balance
local function account(text)
  if not text then
    return '0', '0', '0'
  end
  return string.match(text, '^(-?%d+):(-?%d+):(-?%d+)$')
end

-- Used of the quota of the month that begins at `month`.
local function used(a_month, fee, month)
  if tonumber(a_month) >= tonumber(month) then
    return fee
  end
  return '0'
end

-- A cost: the rest of the quota first, whatever is more from the balance.
local function charge(text, cost, quota, month)
  local a_month, fee, balance = account(text)
  fee = used(a_month, fee, month)
  if tonumber(month) > tonumber(a_month) then
    a_month = month
  end
  local rest = positive(sub(quota, fee))
  local from_quota = cost
  if compare(cost, rest) > 0 then
    from_quota = rest
  end
  return a_month .. ':' .. add(fee, from_quota) .. ':' .. sub(balance, sub(cost, from_quota))
end

-- A hold is a member 'instance:event:amount' of the set, scored by its end; `h` is the sum of all of them.
local function amount_of(member)
  return string.match(member, ':(-?%d+)$')
end

-- Takes holds out and returns the sum that is left.
local function drop(held, members)
  for _, member in ipairs(members) do
    if redis.call('ZREM', KEYS[2], member) == 1 then
      held = sub(held, amount_of(member))
    end
  end
  return held
end

-- What `spent` (all-time spend as its instance has told it) adds to everything that counts spend. `field`s are read by
-- the caller: t, w, a; positions are t:<instance>.
local function spend(state, position, spent, w_unit, w_start, quota, month)
  local delta = sub(spent, position)
  if compare(delta, '0') <= 0 then
    return position
  end
  state.t = add(state.t, delta)
  if w_unit ~= '' and not state.w then
    state.w = tally(w_unit, tonumber(w_start), delta)
  elseif w_unit ~= '' then
    local u, s, v = string.match(state.w, '^(%a+):(-?%d+):(-?%d+)$')
    local start = tonumber(w_start)
    s = tonumber(s)
    if u == w_unit and start >= s then
      if start > s then
        s, v = start, '0'
      end
      state.w = tally(u, s, add(v, delta))
    end
  end
  if quota ~= '' then
    state.a = charge(state.a, delta, quota, month)
  end
  return spent
end
