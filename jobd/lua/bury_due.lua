-- Move a member that is not a job from schedule or retry to the dead set, as it is.
--
-- KEYS  1 schedule or retry, 2 dead
-- ARGV  1 member, 2 now in seconds
-- Returns 1 if it was there, else 0

local found = redis.call('ZREM', KEYS[1], ARGV[1])
if found == 1 then
  redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
end
return found
