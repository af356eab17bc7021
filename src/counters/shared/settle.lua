-- Ends of requests: holds go, what was spent counts. Told again it changes nothing.
-- KEYS: counts of the key, its holds.
-- ARGV: instance, seconds to keep, how many steps, each of them: all-time spend of the instance after it, unit and start
-- of the budget window ('' = none), quota and month ('' = none); then the holds ('instance:event:amount') that are over.
-- Where there are no counts yet, what was spent is left beside, for who makes them.
local instance, steps = ARGV[1], tonumber(ARGV[3])
local f = redis.call('HMGET', KEYS[1], 's', 't', 'w', 'a', 'h', 't:' .. instance)
local set = {}
local first = 4 + 5 * steps
if ARGV[first] then
  local over = {}
  for n = first, #ARGV do
    over[#over + 1] = ARGV[n]
  end
  set = {'h', drop(f[5] or '0', over)}
end
if f[1] and steps > 0 then
  local state, position = {t = f[2] or '0', w = f[3], a = f[4]}, f[6] or '0'
  for n = 0, steps - 1 do
    local at = 4 + 5 * n
    position = spend(state, position, ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
  end
  for _, pair in ipairs({{'t', state.t}, {'w', state.w}, {'a', state.a}, {'t:' .. instance, position}}) do
    if pair[2] then
      set[#set + 1] = pair[1]
      set[#set + 1] = pair[2]
    end
  end
elseif steps > 0 then
  local spent = ARGV[4 + 5 * (steps - 1)]
  if compare(spent, f[6] or '0') > 0 then
    set[#set + 1] = 't:' .. instance
    set[#set + 1] = spent
  end
end
if #set > 0 then
  redis.call('HSET', KEYS[1], unpack(set))
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
return 1
