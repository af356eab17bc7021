-- Checks all rules of a key and takes from all of them, or from none: the rules are those of `limits::decide`.
-- KEYS: counts of the key, its holds.
-- ARGV: instance, now, seconds to keep, mode, hold, event, end of the hold, then '' where there is no such rule:
-- rate limit, unit, start; window limit, unit, start; total limit; quota, month.
-- Answers -1 when the counts have to be rebuilt first, else whether it was admitted, and what counted before.
local instance, now, mode, hold = ARGV[1], tonumber(ARGV[2]), ARGV[4], ARGV[5]
local rate_limit, rate_unit, window_limit, window_unit = ARGV[8], ARGV[9], ARGV[11], ARGV[12]
local total_limit, quota, month = ARGV[14], ARGV[15], ARGV[16]

local f = redis.call('HMGET', KEYS[1], 's', 't', 'w', 'a', 'h', 'r', 't:' .. instance, 'r:' .. instance)
if not f[1] then
  return {-1}
end
local total, held = f[2] or '0', f[5] or '0'
local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[2])
if #over > 0 then
  held = drop(held, over)
  redis.call('HSET', KEYS[1], 'h', held)
end
local flying = redis.call('ZCARD', KEYS[2])

local admitted, rate_start, spent, window_start, moved = '0', 0, '0', 0, nil
if rate_limit ~= '' then
  rate_start, admitted, moved = roll(f[6], rate_unit, tonumber(ARGV[10]), now)
  if moved then
    redis.call('HSET', KEYS[1], 'r', tally(rate_unit, rate_start, admitted))
  end
end
if window_limit ~= '' then
  window_start, spent, moved = roll(f[3], window_unit, tonumber(ARGV[13]), now)
  if moved then
    redis.call('HSET', KEYS[1], 'w', tally(window_unit, window_start, spent))
  end
end
local a_month, fee, balance = account(f[4])

local function fits(limit, gone)
  if compare(gone, limit) >= 0 then
    return false
  end
  if mode == 'observe' then
    return true
  end
  local claimed = add(add(gone, held), hold)
  return compare(claimed, limit) <= 0 or (mode == 'reserve' and flying == 0)
end

local ok = rate_limit == '' or tonumber(admitted) + 1 <= tonumber(rate_limit)
ok = ok and (window_limit == '' or fits(window_limit, spent))
ok = ok and (total_limit == '' or fits(total_limit, total))
if ok and quota ~= '' then
  local available = add(positive(sub(quota, used(a_month, fee, month))), positive(balance))
  -- The largest amount that there is.
  if compare(available, '9223372036854775807') > 0 then
    available = '9223372036854775807'
  end
  ok = fits(available, '0')
end

local own_admitted = '0'
if f[8] then
  local unit, start, value = string.match(f[8], '^(%a+):(-?%d+):(-?%d+)$')
  if unit == rate_unit and tonumber(start) == rate_start then
    own_admitted = value
  end
end
if ok then
  local set = {}
  if rate_limit ~= '' then
    own_admitted = add(own_admitted, '1')
    set = {'r', tally(rate_unit, rate_start, add(admitted, '1')), 'r:' .. instance, tally(rate_unit, rate_start, own_admitted)}
  end
  if window_limit ~= '' then
    set[#set + 1] = 'w'
    set[#set + 1] = tally(window_unit, window_start, spent)
  end
  if window_limit ~= '' or total_limit ~= '' or quota ~= '' then
    redis.call('ZADD', KEYS[2], ARGV[7], instance .. ':' .. ARGV[6] .. ':' .. hold)
    redis.call('EXPIRE', KEYS[2], ARGV[3])
    set[#set + 1] = 'h'
    set[#set + 1] = add(held, hold)
  end
  redis.call('HSET', KEYS[1], unpack(set))
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return {ok and 1 or 0, admitted, spent, total, a_month, fee, balance, held, flying, own_admitted, f[7] or '0'}
