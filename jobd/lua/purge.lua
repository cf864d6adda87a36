-- Purge a queue or a set: what waits there is kept aside for a while, whatever its size.
--
-- KEYS  1 what is purged, 2 where it is kept, 3 trash, 4 queues
-- ARGV  1 for how many seconds, 2 its name in trash, 3 name of the queue; of a set there is none
-- Returns how many jobs it held

-- A write before anything else: the rest may then run on a server at its maxmemory.
local time = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', time[1] - ARGV[1])

-- Both fail before anything was moved if a key is of another type.
local size = redis.call(ARGV[3] and 'LLEN' or 'ZCARD', KEYS[1])
if ARGV[3] then
  redis.call('SREM', KEYS[4], ARGV[3])
end
if size > 0 then
  redis.call('RENAME', KEYS[1], KEYS[2])
  redis.call('EXPIRE', KEYS[2], ARGV[1])
  redis.call('ZADD', KEYS[3], time[1], ARGV[2])
  redis.call('EXPIRE', KEYS[3], ARGV[1])
end
return size
