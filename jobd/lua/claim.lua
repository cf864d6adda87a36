-- Acknowledge finished jobs, then claim up to k new ones. Sent again after a lost reply, it returns
-- what the first one claimed and moves nothing, so it is its own question "what do I hold?".
--
-- KEYS  1 jobd:privates, 2 paused, then n queues, then this processor's n private lists, in step
-- ARGV  the n names of the queues, which are numbered from 0, k, the number of queues with finished
--       jobs and for each of them queue, number of jobs, jobs as they were taken, then pairs in the
--       order in which to look: queue, its share of the k jobs. What the shares leave over is taken
--       from the first queue that has more
-- Returns {finished jobs that were not held any more, {queue, number of jobs, jobs, and so on},
--         {queues passed over: paused, or refused}, the error of a queue that refused (it is no
--         list) or false}. No list in a list, since each costs the server more than a short job

local n = (#KEYS - 2) / 2
local k, groups = tonumber(ARGV[n + 1]), tonumber(ARGV[n + 2])
local at = n + 3

-- Whether the oldest jobs of a list, those at its tail, are exactly the finished ones.
local function are_oldest(list, from, count)
  local held = redis.call('LRANGE', list, -count, -1)
  for j = 1, count do
    if held[count + 1 - j] ~= ARGV[from + j - 1] then
      return false
    end
  end
  return true
end

-- Removes finished jobs, each by its value; returns how many were not held any more.
local function acknowledge(list, from, count)
  if count > 1 and are_oldest(list, from, count) then
    redis.call('LTRIM', list, 0, -1 - count)
    return 0
  end
  local missing = count
  for j = from, from + count - 1 do
    missing = missing - redis.call('LREM', list, -1, ARGV[j])
  end
  return missing
end

local lost = 0
for _ = 1, groups do
  local count = tonumber(ARGV[at + 1])
  lost = lost + acknowledge(KEYS[3 + n + ARGV[at]], at + 2, count)
  at = at + 2 + count
end
if groups == 0 then
  -- A removal before anything else: the rest may then run on a server at its maxmemory.
  redis.call('SREM', KEYS[1], '')
end

local jobs = {}
if redis.call('EXISTS', unpack(KEYS, 3 + n)) > 0 then
  for i = 0, n - 1 do
    local held = redis.call('LRANGE', KEYS[3 + n + i], 0, -1)
    if #held > 0 then
      jobs[#jobs + 1] = i
      jobs[#jobs + 1] = #held
    end
    for j = #held, 1, -1 do
      jobs[#jobs + 1] = held[j]
    end
  end
  return {lost, jobs, {}, false}
end

local some_paused = redis.call('EXISTS', KEYS[2]) == 1
local passed, paused, refused = {}, {}, false

-- Takes up to `most` jobs from the end of one list to the other; returns them, oldest first, or an
-- error. Written before it is removed: should the server refuse one of them, no job is lost.
local function transfer(from, to, most)
  if most == 1 then
    local job = redis.pcall('LMOVE', from, to, 'RIGHT', 'LEFT')
    return type(job) == 'table' and job or {job or nil}
  end
  local found = redis.pcall('LRANGE', from, -most, -1)
  if found.err or #found == 0 then
    return found
  end
  local got = {}
  for j = #found, 1, -1 do
    got[#got + 1] = found[j]
  end
  local pushed = redis.pcall('LPUSH', to, unpack(got))
  if type(pushed) == 'table' then
    return pushed
  end
  redis.call('LTRIM', from, 0, -1 - #got)
  return got
end

-- Moves up to `most` jobs of queue i; returns whether it has no more to give.
local filled = {}
local function move(i, most)
  local got = transfer(KEYS[3 + i], KEYS[3 + n + i], most)
  if got.err then
    -- One key of the wrong type must not keep the other queues from being served.
    refused = got.err
    paused[#paused + 1] = i
    return true
  end
  if #got > 0 then
    jobs[#jobs + 1] = i
    jobs[#jobs + 1] = #got
    for _, job in ipairs(got) do
      jobs[#jobs + 1] = job
    end
    filled[#filled + 1] = KEYS[3 + n + i]
  end
  k = k - #got
  return #got < most
end

for round = 1, 2 do
  for j = at, #ARGV, 2 do
    local i = tonumber(ARGV[j])
    local most = round == 1 and math.min(k, tonumber(ARGV[j + 1])) or k
    if most > 0 and not passed[i] then
      if some_paused and redis.call('SISMEMBER', KEYS[2], ARGV[1 + i]) == 1 then
        paused[#paused + 1] = i
        passed[i] = true
      else
        passed[i] = move(i, most)
      end
    end
  end
end

if #jobs > 0 then
  redis.call('SADD', KEYS[1], unpack(filled))
else
  -- The processor will block on BLMOVE next, which cannot note the name of the list it fills.
  redis.call('SADD', KEYS[1], unpack(KEYS, 3 + n))
end
return {lost, jobs, paused, refused}
