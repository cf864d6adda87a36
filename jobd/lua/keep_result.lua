-- Keep what became of a job, for a while.
--
-- KEYS  1 its result
-- ARGV  1 the result, 2 for how many seconds
-- Returns nothing

-- A write before anything else: the rest may then run on a server at its maxmemory.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
