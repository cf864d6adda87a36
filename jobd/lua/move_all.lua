-- Move jobs of a stretch of a queue to the back of another, in the order in which they would run.
--
-- KEYS  1 queue that holds them, 2 queue that gets them, 3 queues
-- ARGV  1 and 2 the stretch as indexes from the end that runs next, such as -200 and -1,
--       3 a text that is nobody's job, 4 name of the queue that gets them, then for each job:
--       job as it is held, job as it goes on
-- Returns how many of them stood in the stretch

local again = {}
for i = 5, #ARGV, 2 do
  again[ARGV[i]] = ARGV[i + 1]
end

-- Writes before anything else, for a server at its maxmemory. They remove nothing, and they fail
-- before anything was moved if a key is no list.
redis.call('LTRIM', KEYS[1], 0, -1)
redis.call('LTRIM', KEYS[2], 0, -1)

local jobs = redis.call('LRANGE', KEYS[1], ARGV[1], ARGV[2])
local places, moved = {}, {}
for i = #jobs, 1, -1 do
  local job = again[jobs[i]]
  if job then
    places[#places + 1] = ARGV[2] - (#jobs - i)
    moved[#moved + 1] = job
  end
end
if #moved > 0 then
  -- Before the jobs, since it fails if the key is no set.
  redis.call('SADD', KEYS[3], ARGV[4])
  for i = 1, #places do
    redis.call('LSET', KEYS[1], places[i], ARGV[3])
  end
  -- Marked first and taken out at once, as in strike.lua.
  local is_near_tail = -2 * ARGV[2] < redis.call('LLEN', KEYS[1])
  redis.call('LREM', KEYS[1], is_near_tail and -#moved or #moved, ARGV[3])
  for i = 1, #moved do
    redis.call('LPUSH', KEYS[2], moved[i])
  end
end
return #moved
