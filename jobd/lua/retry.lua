-- Move a job to the set where it waits for its next run: retry, or schedule if it has not failed.
--
-- KEYS  1 private list, 2 retry or schedule
-- ARGV  1 job as held, 2 due time in seconds, 3 job as it goes on, 4 "1" if it must still be held
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
end
return held
