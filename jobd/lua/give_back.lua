-- Put claimed jobs back at the end of their queue that runs next, as they are or rewritten.
--
-- KEYS  1 private list, 2 queue, 3 queues
-- ARGV  1 name of the queue, 2 "1" if they must still be held, then pairs (job as held, job as it
--       goes back)
-- Returns how many were held

local found = 0
local moved = 0
for i = 3, #ARGV, 2 do
  local held = redis.call('LREM', KEYS[1], 1, ARGV[i])
  if held == 1 or ARGV[2] ~= '1' then
    local pushed = redis.pcall('RPUSH', KEYS[2], ARGV[i + 1])
    if type(pushed) == 'table' then
      -- Refused (not a list); what a script did is not rolled back.
      if held == 1 then
        redis.call('RPUSH', KEYS[1], ARGV[i])
      end
      return pushed
    end
    moved = moved + 1
  end
  found = found + held
end
if moved > 0 then
  redis.call('SADD', KEYS[3], ARGV[1])
end
return found
