-- Mark a job as cancelled, wherever it is.
--
-- KEYS  1 jobd:cancelled, 2 it-JID
-- ARGV  1 jid, 2 for how many seconds it is remembered, 3 how many jids to remember at the most
-- Returns nothing

local time = redis.call('TIME')
local now = time[1] .. '.' .. string.format('%06d', time[2])
-- A write before anything else: the rest may then run on a server at its maxmemory.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time[1] - ARGV[2])
local newest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
if newest and tonumber(newest) > tonumber(now) then
  -- The clock went back (a failover): who asks for what is new must not miss this one.
  now = newest
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[2])
if redis.call('EXISTS', KEYS[2]) == 1 then
  -- An iterable job of Sidekiq's looks here; the first to cancel it counts.
  redis.call('HSETNX', KEYS[2], 'cancelled', time[1])
end
