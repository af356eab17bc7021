-- Takes an admission back.
-- KEYS: counts of the key, its holds. ARGV: instance, hold ('instance:event:amount'), unit and start of the rate window
-- ('' = none).
local f = redis.call('HMGET', KEYS[1], 'h', 'r', 'r:' .. ARGV[1])
local held = drop(f[1] or '0', {ARGV[2]})
if held ~= (f[1] or '0') then
  redis.call('HSET', KEYS[1], 'h', held)
end
local function one_less(field, text)
  if ARGV[3] == '' or not text then
    return
  end
  local unit, start, value = string.match(text, '^(%a+):(-?%d+):(-?%d+)$')
  if unit == ARGV[3] and start == ARGV[4] and tonumber(value) > 0 then
    redis.call('HSET', KEYS[1], field, tally(unit, tonumber(start), sub(value, '1')))
  end
end
one_less('r', f[2])
one_less('r:' .. ARGV[1], f[3])
return 1
