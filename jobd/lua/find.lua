-- Look for jobs in a stretch of a queue.
--
-- KEYS  1 queue
-- ARGV  1 a text that they hold, 2 and 3 the stretch as indexes
-- Returns those that hold it

local found = {}
for _, job in ipairs(redis.call('LRANGE', KEYS[1], ARGV[2], ARGV[3])) do
  if string.find(job, ARGV[1], 1, true) then
    found[#found + 1] = job
  end
end
return found
