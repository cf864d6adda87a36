-- A while after a blocking move: note the private list, and tell whether the job may run.
--
-- KEYS  1 jobd:privates, 2 paused, 3 the private list
-- ARGV  1 name of the queue, 2 the job
-- Returns 1 if it is held and its queue is not paused, else 0

redis.call('SREM', KEYS[1], '')
redis.call('SADD', KEYS[1], KEYS[3])
-- Whoever was suspended after the move may have been given up for dead, and the job recovered.
if not redis.call('LPOS', KEYS[3], ARGV[2]) then
  return 0
end
return 1 - redis.call('SISMEMBER', KEYS[2], ARGV[1])
