-- Move a job to the dead set, and trim that by age and size.
--
-- KEYS  1 private list, 2 dead
-- ARGV  1 job as held, 2 now in seconds, 3 job as it is buried, 4 "1" if it must still be held,
--       5 deaths at or before this time in seconds are forgotten, 6 how many to keep at the most
-- Returns 1 if it was held, else 0

local held = redis.call('LREM', KEYS[1], 1, ARGV[1])
if held == 1 or ARGV[4] ~= '1' then
  local added = redis.pcall('ZADD', KEYS[2], ARGV[2], ARGV[3])
  if type(added) == 'table' then
    -- Refused (not a sorted set, not a number); what a script did is not rolled back.
    if held == 1 then
      redis.call('RPUSH', KEYS[1], ARGV[1])
    end
    return added
  end
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[5])
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - ARGV[6])
end
return held
