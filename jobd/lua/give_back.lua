-- Put claimed jobs back at the end of their queue that runs next, as they are or rewritten.
--
-- KEYS  1 private list, 2 queue, 3 queues
-- ARGV  1 name of the queue, then pairs (job as held, job as it goes back)
-- Returns how many were held and went back

local moved = 0
for i = 2, #ARGV, 2 do
  if redis.call('LREM', KEYS[1], 1, ARGV[i]) == 1 then
    redis.call('RPUSH', KEYS[2], ARGV[i + 1])
    moved = moved + 1
  end
end
if moved > 0 then
  redis.call('SADD', KEYS[3], ARGV[1])
end
return moved
