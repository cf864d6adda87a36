-- Add an entry to the audit log, which keeps the newest only.
--
-- KEYS  1 audit log
-- ARGV  1 the entry, 2 how many are kept
-- Returns how many there are

-- A write before anything else: the rest may then run on a server at its maxmemory.
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 2)
return redis.call('LPUSH', KEYS[1], ARGV[1])
