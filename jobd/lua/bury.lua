-- Move a job to the dead set, and trim that by age and size.
--
-- KEYS  1 private list, 2 dead, 3 jobd:errors:JID, if an earlier error is to be kept
-- ARGV  1 job as held, 2 now in seconds, 3 job as it is buried, 4 "1" if it must still be held,
--       5 deaths at or before this time in seconds are forgotten, 6 how many to keep at the most,
--       and with the third key 7 that error, 8 seconds to keep it, 9 how many errors to keep
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
  -- As in retry.lua.
  if KEYS[3] and redis.pcall('LINDEX', KEYS[3], 0) ~= ARGV[7] then
    redis.pcall('LPUSH', KEYS[3], ARGV[7])
    redis.pcall('LTRIM', KEYS[3], 0, ARGV[9] - 1)
    redis.pcall('EXPIRE', KEYS[3], ARGV[8])
  end
end
return held
