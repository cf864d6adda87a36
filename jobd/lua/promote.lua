-- Move due jobs to their queues: each one that is still there, and only once.
--
-- KEYS  1 schedule or retry, 2 queues, then the queue of each job
-- ARGV  for each job: job as it stands in the set, name of its queue, job as it is queued
-- Returns {how many were moved, the error of a queue that refused its job, or false}

-- A write before anything else: the rest may then run on a server at its maxmemory.
redis.call('SREM', KEYS[2], '')

local moved, refused = 0, false
for i = 3, #KEYS do
  local at = (i - 3) * 3
  if redis.call('ZSCORE', KEYS[1], ARGV[at + 1]) then
    local pushed = redis.pcall('LPUSH', KEYS[i], ARGV[at + 3])
    if type(pushed) == 'table' then
      -- Not a list: the job stays where it is, since what a script did is not rolled back.
      refused = pushed.err
    else
      redis.call('ZREM', KEYS[1], ARGV[at + 1])
      redis.call('SADD', KEYS[2], ARGV[at + 2])
      moved = moved + 1
    end
  end
end
return {moved, refused}
