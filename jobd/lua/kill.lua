-- Move jobs of schedule or retry to the dead set, and trim that by age and size.
--
-- KEYS  1 schedule or retry, 2 dead
-- ARGV  1 for how many seconds the dead are kept, 2 how many at the most, then the jobs
-- Returns {the numbers, counted from 1, of the jobs that were there}

-- A write before anything else: the rest may then run on a server at its maxmemory. It removes
-- nothing, and it fails before anything was moved if dead is no sorted set.
redis.call('ZREMRANGEBYRANK', KEYS[2], 1, 0)

local time = redis.call('TIME')
local now = time[1] .. '.' .. string.format('%06d', time[2])
local killed = {}
for i = 3, #ARGV do
  if redis.call('ZREM', KEYS[1], ARGV[i]) == 1 then
    redis.call('ZADD', KEYS[2], now, ARGV[i])
    killed[#killed + 1] = i - 2
  end
end
if #killed > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', time[1] - ARGV[1])
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - ARGV[2])
end
return killed
