-- Everything that one instance has to say of a key, after the server or the connection was away: what it has spent and
-- admitted, and which of its requests run. Holds of it that it does not know any more go.
-- KEYS: counts of the key, its holds.
-- ARGV: instance, seconds to keep; all-time spend ('' = not told), unit and start of the budget window, quota and month
-- ('' = none); unit, start and count of the rate window ('' = none); then for each request that runs: event, hold, end of
-- the hold ('' and '' = leave it as it is).
-- Where there are no counts yet, it is left beside, for who makes them.
local instance = ARGV[1]
local f = redis.call('HMGET', KEYS[1], 's', 't', 'w', 'a', 'h', 'r', 't:' .. instance, 'r:' .. instance)
local held, known = f[5] or '0', {}
for n = 11, #ARGV, 3 do
  known[ARGV[n]] = true
end
local prefix, over, there = instance .. ':', {}, {}
for _, member in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  if string.sub(member, 1, #prefix) == prefix then
    local event = string.match(member, ':(%x+):')
    if known[event] then
      there[event] = true
    else
      over[#over + 1] = member
    end
  end
end
held = drop(held, over)
for n = 11, #ARGV, 3 do
  if ARGV[n + 1] ~= '' and not there[ARGV[n]] then
    redis.call('ZADD', KEYS[2], ARGV[n + 2], prefix .. ARGV[n] .. ':' .. ARGV[n + 1])
    held = add(held, ARGV[n + 1])
  end
end
if held ~= (f[5] or '0') then
  redis.call('HSET', KEYS[1], 'h', held)
end
if f[1] then
  if ARGV[3] ~= '' then
    local state = {t = f[2] or '0', w = f[3], a = f[4]}
    local position = spend(state, f[7] or '0', ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
    redis.call('HSET', KEYS[1], 't', state.t, 't:' .. instance, position)
    if state.w then
      redis.call('HSET', KEYS[1], 'w', state.w)
    end
    if state.a then
      redis.call('HSET', KEYS[1], 'a', state.a)
    end
  end
  if ARGV[8] ~= '' then
    local start = tonumber(ARGV[9])
    local at, admitted = roll(f[6], ARGV[8], start, start)
    local own_at, own = roll(f[8], ARGV[8], start, start)
    if at == start and own_at == start and compare(ARGV[10], own) > 0 then
      redis.call('HSET', KEYS[1], 'r', tally(ARGV[8], at, add(admitted, sub(ARGV[10], own))),
        'r:' .. instance, tally(ARGV[8], at, ARGV[10]))
    end
  end
end
if not f[1] then
  if ARGV[3] ~= '' and compare(ARGV[3], f[7] or '0') > 0 then
    redis.call('HSET', KEYS[1], 't:' .. instance, ARGV[3])
  end
  if ARGV[8] ~= '' then
    redis.call('HSET', KEYS[1], 'r:' .. instance, tally(ARGV[8], tonumber(ARGV[9]), ARGV[10]))
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
