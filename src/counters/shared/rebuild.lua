-- What the ledger says of a key. Counts that are not there are made of it. To those that are, it adds what they miss: of
-- an instance that died before it told, or of a payment. Never less than there is: the ledger is a little behind.
-- KEYS: counts of the key.
-- ARGV: seconds to keep, or 0 = do not make counts that are not there; unit and start of the rate window ('' = none); unit, start and spend of the budget window ('' =
-- none); month, used and balance of the account; all that was ever credited; quota and month ('' = none); then for each instance: its number, all-time
-- spend, admitted in the rate window.
-- Answers 1 when the counts were made, 0 when they were there.
local count = #ARGV
local all = redis.call('HGETALL', KEYS[1])
local f = {}
for n = 1, #all, 2 do
  f[all[n]] = all[n + 1]
end
local made = not f['s']
if made and ARGV[1] == '0' then
  return 0
end
local set = {s = '1'}
if made then
  local admitted, rate = {}, ARGV[2] ~= ''
  set.t, set.a, set.cr = '0', ARGV[7] .. ':' .. ARGV[8] .. ':' .. ARGV[9], ARGV[10]
  for n = 13, count, 3 do
    set.t = add(set.t, ARGV[n + 1])
    set['t:' .. ARGV[n]] = ARGV[n + 1]
    admitted[ARGV[n]] = ARGV[n + 2]
  end
  if ARGV[4] ~= '' then
    set.w = tally(ARGV[4], tonumber(ARGV[5]), ARGV[6])
  end
  -- What instances have told and the ledger does not have yet.
  local state = {t = set.t, w = set.w, a = set.a}
  for field, value in pairs(f) do
    local kind, instance = string.match(field, '^([tr]):(.*)$')
    if kind == 't' then
      set[field] = spend(state, set[field] or '0', value, ARGV[4], ARGV[5], ARGV[11], ARGV[12])
    elseif kind == 'r' and rate then
      local start, told = roll(value, ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[3]))
      if start == tonumber(ARGV[3]) and compare(told, admitted[instance] or '0') > 0 then
        admitted[instance] = told
      end
    end
  end
  set.t, set.w, set.a = state.t, state.w, state.a
  if rate then
    local sum = '0'
    for instance, told in pairs(admitted) do
      sum = add(sum, told)
      set['r:' .. instance] = tally(ARGV[2], tonumber(ARGV[3]), told)
    end
    set.r = tally(ARGV[2], tonumber(ARGV[3]), sum)
  end
else
  local state, positions = {t = f.t or '0', w = f.w, a = f.a}, {}
  for n = 13, count, 3 do
    local position = f['t:' .. ARGV[n]] or '0'
    position = spend(state, position, ARGV[n + 1], ARGV[4], ARGV[5], '', '')
    set['t:' .. ARGV[n]] = position
    positions['t:' .. ARGV[n]] = ARGV[n + 1]
  end
  set.t, set.w = state.t, state.w
  local paid = sub(ARGV[10], f.cr or '0')
  if compare(paid, '0') >= 0 then
    -- The ledger knows of everything that counts here: then its account is the true one.
    local level = true
    for field, value in pairs(f) do
      if string.sub(field, 1, 2) == 't:' and compare(set[field] or value, positions[field] or '0') ~= 0 then
        level = false
      end
    end
    if level then
      set.a = ARGV[7] .. ':' .. ARGV[8] .. ':' .. ARGV[9]
    else
      local month, fee, balance = account(f.a)
      set.a = month .. ':' .. fee .. ':' .. add(balance, paid)
    end
    set.cr = ARGV[10]
  end
end
for field, value in pairs(set) do
  redis.call('HSET', KEYS[1], field, value)
end
if made then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
return made and 1 or 0
