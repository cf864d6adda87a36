-- Move a job to the set where it waits for its next run: retry, or schedule if it has not failed.
--
-- KEYS  1 private list, 2 retry or schedule, 3 jobd:errors:JID, if an earlier error is to be kept
-- ARGV  1 job as held, 2 due time in seconds, 3 job as it goes on, 4 "1" if it must still be held,
--       and with the third key 5 that error, 6 seconds to keep it, 7 how many to keep at the most
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
  -- Sent again where nothing is held, it keeps the error once. A key of another type costs the
  -- error, never the settlement.
  if KEYS[3] and redis.pcall('LINDEX', KEYS[3], 0) ~= ARGV[5] then
    redis.pcall('LPUSH', KEYS[3], ARGV[5])
    redis.pcall('LTRIM', KEYS[3], 0, ARGV[7] - 1)
    redis.pcall('EXPIRE', KEYS[3], ARGV[6])
  end
end
return held
