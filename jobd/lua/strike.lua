-- Take jobs out of a stretch of a queue.
--
-- KEYS  1 queue
-- ARGV  1 and 2 the stretch as indexes from the end that runs next, such as -200 and -1,
--       3 a text that is nobody's job, then the jobs
-- Returns how many of them stood in the stretch

local wanted = {}
for i = 4, #ARGV do
  wanted[ARGV[i]] = true
end

-- A write before anything else, which removes nothing, for a server at its maxmemory.
redis.call('LTRIM', KEYS[1], 0, -1)

local jobs = redis.call('LRANGE', KEYS[1], ARGV[1], ARGV[2])
local struck = 0
for i = #jobs, 1, -1 do
  if wanted[jobs[i]] then
    redis.call('LSET', KEYS[1], ARGV[2] - (#jobs - i), ARGV[3])
    struck = struck + 1
  end
end
if struck > 0 then
  -- Marked first and taken out at once, from the nearer end: an LREM for each would walk the
  -- queue for each.
  local is_near_tail = -2 * ARGV[2] < redis.call('LLEN', KEYS[1])
  redis.call('LREM', KEYS[1], is_near_tail and -struck or struck, ARGV[3])
end
return struck
