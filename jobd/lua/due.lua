-- What is due in a sorted set, by the server's clock.
--
-- KEYS  1 schedule or retry
-- ARGV  1 how many at the most, 2 how many due ones to pass over (if that leaves none: 0)
-- Returns {now in seconds, earliest score or '', {jobs}}

local time = redis.call('TIME')
local now = time[1] .. '.' .. string.format('%06d', time[2])
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if not first or tonumber(first) > tonumber(now) then
  return {now, first or '', {}}
end

local jobs = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', ARGV[2], ARGV[1])
if #jobs == 0 then
  jobs = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
end
return {now, first, jobs}
