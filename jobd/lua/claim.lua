-- Acknowledge finished jobs, then claim up to k new ones. Sent again after a lost reply, it returns
-- what the first one claimed and moves nothing, so it is its own question "what do I hold?".
--
-- KEYS  1 jobd:privates, 2 paused, then n queues, then this processor's n private lists, in step
-- ARGV  the n names of the queues, k, the number f of finished jobs, f pairs (index of the queue,
--       job), then the indexes of the queues in the order in which to look
-- Returns {finished jobs that were not held any more, {index, job, ...}, {indexes of queues passed
--         over: paused, or refused}, the error of a queue that refused (it is no list) or false}

-- A write before anything else: the rest may then run on a server at its maxmemory.
redis.call('SREM', KEYS[1], '')

local n = (#KEYS - 2) / 2
local k, finished = tonumber(ARGV[n + 1]), tonumber(ARGV[n + 2])
local at = n + 3

local lost = 0
for _ = 1, finished do
  lost = lost + 1 - redis.call('LREM', KEYS[2 + n + ARGV[at]], 1, ARGV[at + 1])
  at = at + 2
end

local jobs = {}
if redis.call('EXISTS', unpack(KEYS, 3 + n)) > 0 then
  for i = 1, n do
    local held = redis.call('LRANGE', KEYS[2 + n + i], 0, -1)
    for j = #held, 1, -1 do
      jobs[#jobs + 1] = i
      jobs[#jobs + 1] = held[j]
    end
  end
  return {lost, jobs, {}, false}
end

local some_paused = redis.call('EXISTS', KEYS[2]) == 1
local paused, refused = {}, false
while k > 0 and at <= #ARGV do
  local i = tonumber(ARGV[at])
  at = at + 1
  if some_paused and redis.call('SISMEMBER', KEYS[2], ARGV[i]) == 1 then
    paused[#paused + 1] = i
  else
    local job = redis.pcall('LMOVE', KEYS[2 + i], KEYS[2 + n + i], 'RIGHT', 'LEFT')
    if type(job) == 'table' then
      -- One key of the wrong type must not keep the other queues from being served.
      paused[#paused + 1] = i
      refused, job = job.err, false
    elseif job then
      redis.call('SADD', KEYS[1], KEYS[2 + n + i])
    end
    while job do
      jobs[#jobs + 1] = i
      jobs[#jobs + 1] = job
      k = k - 1
      job = k > 0 and redis.call('LMOVE', KEYS[2 + i], KEYS[2 + n + i], 'RIGHT', 'LEFT')
    end
  end
end

if #jobs == 0 then
  -- The processor will block on BLMOVE next, which cannot note the name of the list it fills.
  redis.call('SADD', KEYS[1], unpack(KEYS, 3 + n))
end
return {lost, jobs, paused, refused}
