-- Acknowledge finished jobs, then claim up to k new ones. Sent again after a lost reply, it returns
-- what the first one claimed and moves nothing, so it is its own question "what do I hold?".
--
-- KEYS  1 jobd:privates, then n queues, paused, then this processor's n private lists, in step
-- ARGV  the n names of the queues, which are numbered from 0, k, the number of queues with finished
--       jobs, "ends" or "all", and for each of these queues its number, how many jobs, and the
--       oldest and the newest of them, or all as they were taken; then pairs in the order in which
--       to look: queue, its share of the k jobs. What the shares leave over is taken from the first
--       queue that has more
-- Returns {finished jobs that were not held any more, {queue, number of jobs, jobs, and so on},
--         {queues passed over: paused, or refused}, the error of a queue that refused (it is no
--         list) or false}. No list in a list, since each costs the server more than a short job.
--         {-1} if it needs to be told all: nothing is done then
-- There are no functions here, for each call of the script would make them anew.

local n = (#KEYS - 2) / 2
local privates = n + 3 -- where they begin in KEYS
local k, groups, at = tonumber(ARGV[n + 1]), tonumber(ARGV[n + 2]), n + 4
local lost = 0
if groups == 0 then
  -- A removal before anything else: the rest may then run on a server at its maxmemory.
  redis.call('SREM', KEYS[1], '')
elseif ARGV[n + 3] == 'ends' then
  local after = at + 4 * groups
  for j = at, after - 1, 4 do
    -- As far from each other as they were, they have the same jobs between them as then: nobody
    -- puts a job into the middle of a list.
    local list = KEYS[privates + ARGV[j]]
    if redis.call('LINDEX', list, -1) ~= ARGV[j + 2]
      or redis.call('LINDEX', list, -ARGV[j + 1]) ~= ARGV[j + 3] then
      return {-1}
    end
  end
  for j = at, after - 1, 4 do
    redis.call('LTRIM', KEYS[privates + ARGV[j]], 0, -1 - ARGV[j + 1])
  end
  at = after
else
  for _ = 1, groups do
    local list, after = KEYS[privates + ARGV[at]], at + 2 + ARGV[at + 1]
    for j = at + 2, after - 1 do
      lost = lost + 1 - redis.call('LREM', list, -1, ARGV[j])
    end
    at = after
  end
end

local jobs, paused, refused = {}, {}, false
-- Of both at once, since most often there is neither a pause nor a job in hand.
local is_plain = redis.call('EXISTS', unpack(KEYS, n + 2)) == 0
if not is_plain then
  for i = 0, n - 1 do
    local held = redis.call('LRANGE', KEYS[privates + i], 0, -1)
    if #held > 0 then
      jobs[#jobs + 1] = i
      jobs[#jobs + 1] = #held
    end
    for j = #held, 1, -1 do
      jobs[#jobs + 1] = held[j]
    end
  end
  if #jobs > 0 then
    return {lost, jobs, paused, refused}
  end
end

local passed, filled = {}, {}
for round = 1, 2 do
  for w = at, #ARGV, 2 do
    local i = tonumber(ARGV[w])
    local from, to = KEYS[2 + i], KEYS[privates + i]
    local most = round == 1 and math.min(k, tonumber(ARGV[w + 1])) or k
    if most <= 0 or passed[i] then
      -- It has had its turn.
    elseif not is_plain and redis.call('SISMEMBER', KEYS[n + 2], ARGV[1 + i]) == 1 then
      paused[#paused + 1] = i
      passed[i] = true
    else
      local found = redis.pcall('LRANGE', from, -most, -1)
      local count, start = #found, #jobs
      passed[i] = count < most
      if count > 0 then
        jobs[start + 1], jobs[start + 2] = i, count
        for j = count, 1, -1 do
          jobs[#jobs + 1] = found[j]
        end
        -- Written before they are removed: should the server refuse, no job is lost.
        local pushed = redis.pcall('LPUSH', to, unpack(jobs, start + 3))
        if type(pushed) == 'table' then
          found = pushed
          for j = #jobs, start + 1, -1 do
            jobs[j] = nil
          end
        else
          redis.call('LTRIM', from, 0, -1 - count)
          filled[#filled + 1] = to
          k = k - count
        end
      end
      if found.err then
        -- One key of the wrong type must not keep the other queues from being served.
        refused, passed[i] = found.err, true
        paused[#paused + 1] = i
      end
    end
  end
end

if #jobs > 0 then
  redis.call('SADD', KEYS[1], unpack(filled))
else
  -- The processor will block on BLMOVE next, which cannot note the name of the list it fills.
  redis.call('SADD', KEYS[1], unpack(KEYS, privates))
end
return {lost, jobs, paused, refused}
