-- The heartbeat of an instance: who it is, what it runs, what it has counted.
--
-- KEYS  1 IDENTITY:work, 2 IDENTITY, 3 jobd:instance:IDENTITY, 4 processes, 5 IDENTITY-signals,
--       6 stat:processed, 7 stat:processed:DAY, 8 stat:failed, 9 stat:failed:DAY
-- ARGV  1 identity, 2 life of the heartbeat in seconds, 3 processed and 4 failed since the last
--       beat, 5 life of a day's counter in seconds, 6 w and 7 p: how many arguments the work and
--       the process hash take, then these as field, value, ..., then the instance hash
-- Returns {1 if the heartbeat was still there, else 0; a remote command or false; {s, µs} now}

redis.call('DEL', KEYS[1])
local w, p = tonumber(ARGV[6]), tonumber(ARGV[7])
if w > 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 8, 7 + w))
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
local known = redis.call('EXISTS', KEYS[2])
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('HSET', KEYS[2], unpack(ARGV, 8 + w, 7 + w + p))
redis.call('EXPIRE', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[3])
redis.call('HSET', KEYS[3], unpack(ARGV, 8 + w + p))
redis.call('EXPIRE', KEYS[3], ARGV[2])
for i = 0, 1 do
  if ARGV[3 + i] ~= '0' then
    redis.call('INCRBY', KEYS[6 + 2 * i], ARGV[3 + i])
    redis.call('INCRBY', KEYS[7 + 2 * i], ARGV[3 + i])
    redis.call('EXPIRE', KEYS[7 + 2 * i], ARGV[5])
  end
end
return {known, redis.call('RPOP', KEYS[5]), redis.call('TIME')}
