-- Give jobs of a sorted set another time.
--
-- KEYS  1 schedule, retry or dead
-- ARGV  1 the time in seconds, then the jobs
-- Returns how many of them were there

-- A write before anything else: the rest may then run on a server at its maxmemory.
redis.call('ZREMRANGEBYRANK', KEYS[1], 1, 0)

local found = 0
for i = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    redis.call('ZADD', KEYS[1], ARGV[1], ARGV[i])
    found = found + 1
  end
end
return found
