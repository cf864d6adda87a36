-- Put back what was purged: before what has come since, so that a queue keeps its order.
--
-- KEYS  1 where it is kept, 2 where it goes back to, 3 trash, 4 queues
-- ARGV  1 its name in trash, 2 how many jobs at the most if others have come since,
--       3 name of the queue; of a set there is none
-- Returns {how many went back, how many are left}

-- A write before anything else, which removes nothing, for a server at its maxmemory; it fails
-- before anything was moved if the key is of another type.
if ARGV[3] then
  redis.call('LTRIM', KEYS[2], 0, -1)
else
  redis.call('ZREMRANGEBYRANK', KEYS[2], 1, 0)
end

local sizer = ARGV[3] and 'LLEN' or 'ZCARD'
local size = redis.call(sizer, KEYS[1])
if size > 0 and ARGV[3] then
  redis.call('SADD', KEYS[4], ARGV[3])
end

local moved = 0
if size > 0 and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('RENAME', KEYS[1], KEYS[2])
  redis.call('PERSIST', KEYS[2])
  moved = size
elseif ARGV[3] then
  moved = math.min(size, ARGV[2])
  for _ = 1, moved do
    redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT')
  end
elseif size > 0 then
  local jobs = redis.call('ZPOPMIN', KEYS[1], ARGV[2])
  for i = 1, #jobs, 2 do
    redis.call('ZADD', KEYS[2], jobs[i + 1], jobs[i])
  end
  moved = #jobs / 2
end
if moved == size then
  redis.call('ZREM', KEYS[3], ARGV[1])
end
return {moved, size - moved}
