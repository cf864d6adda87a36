-- Move due jobs to their queues: each one that is still there, and only once.
--
-- KEYS  1 schedule or retry, 2 queues, then the queue of each job
-- ARGV  for each job: job as it stands in the set, name of its queue, job as it is queued
-- Returns how many were moved

local moved = 0
for i = 3, #KEYS do
  local at = (i - 3) * 3
  if redis.call('ZREM', KEYS[1], ARGV[at + 1]) == 1 then
    redis.call('SADD', KEYS[2], ARGV[at + 2])
    redis.call('LPUSH', KEYS[i], ARGV[at + 3])
    moved = moved + 1
  end
end
return moved
