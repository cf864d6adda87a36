-- Begin a run of an iterable job. The number of the run is what entitles it to save.
--
-- KEYS  1 it-JID
-- ARGV  1 life of the state in seconds, 2 when the job was made
-- Returns the number of this run (1 for the first), then as they were left or false: cursor in
-- JSON, seconds of earlier runs, items of earlier runs, time of cancellation, what is not false
--         if it is done

-- A removal first: a full server lets the rest pass.
redis.call('HDEL', KEYS[1], '')
local done = redis.call('HGET', KEYS[1], 'done')
if done and done ~= ARGV[2] then
  -- Another job of the same jid was done.
  redis.call('DEL', KEYS[1])
end
local run = redis.call('HINCRBY', KEYS[1], 'ex', 1)
redis.call('EXPIRE', KEYS[1], ARGV[1])
local left = redis.call('HMGET', KEYS[1], 'c', 'rt', 'n', 'cancelled', 'done')
return {run, left[1], left[2], left[3], left[4], left[5]}
