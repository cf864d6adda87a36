-- After a blocking move: note the private list, and tell whether its queue is paused.
--
-- KEYS  1 jobd:privates, 2 paused, 3 the private list
-- ARGV  1 name of the queue
-- Returns 1 if the queue is paused, else 0

redis.call('SREM', KEYS[1], '')
redis.call('SADD', KEYS[1], KEYS[3])
return redis.call('SISMEMBER', KEYS[2], ARGV[1])
