-- Move a job to the back of another queue.
--
-- KEYS  1 queue that holds it, 2 queue that gets it, 3 queues
-- ARGV  1 job as it is held, 2 name of the queue that gets it, 3 job as it goes on
-- Returns 1 if it was there, else 0

-- A write before anything else: the rest may then run on a server at its maxmemory. It removes
-- nothing, and it fails before anything was moved if the key is no list.
redis.call('LTRIM', KEYS[2], 0, -1)

if redis.call('LREM', KEYS[1], -1, ARGV[1]) == 0 then
  return 0
end
redis.call('LPUSH', KEYS[2], ARGV[3])
redis.call('SADD', KEYS[3], ARGV[2])
return 1
