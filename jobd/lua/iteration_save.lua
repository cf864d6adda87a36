-- Save how far a run of an iterable job has come, unless a later run has begun.
--
-- KEYS  1 it-JID
-- ARGV  1 life of the state in seconds, 2 number of the run, then names and values of fields
-- Returns 0 if it was saved, 1 if it was and the job is cancelled, -1 if a later run has begun

local newest = redis.call('HGET', KEYS[1], 'ex')
if newest and newest ~= ARGV[2] then
  return -1
end
-- A removal first: a full server lets the rest pass.
redis.call('HDEL', KEYS[1], '')
redis.call('HSET', KEYS[1], 'ex', ARGV[2], unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return redis.call('HEXISTS', KEYS[1], 'cancelled')
