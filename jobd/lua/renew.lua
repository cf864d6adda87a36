-- Keep an instance alive whose poller does not beat.
--
-- KEYS  1 IDENTITY, 2 jobd:instance:IDENTITY, 3 processes
-- ARGV  1 identity, 2 life of the heartbeat in seconds
-- Returns nothing

redis.call('SREM', KEYS[3], '')
redis.call('SADD', KEYS[3], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
if redis.call('EXPIRE', KEYS[2], ARGV[2]) == 0 then
  redis.call('HSET', KEYS[2], 'renewed', 1)
  redis.call('EXPIRE', KEYS[2], ARGV[2])
end
