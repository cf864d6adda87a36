-- Acknowledge one finished job and claim the next: what claim.lua does in most cases, at three
-- quarters of its cost.
--
-- KEYS  as claim.lua
-- ARGV  the n names of the queues, which are numbered from 0, queue and bytes of the finished job
--       ('' for none), then the queues in the order in which to look
-- Returns {whether the finished job was not held any more (0 or 1), queue, job, or false for both,
--         {queues passed over: paused}}. One element only if something is held, or a queue refuses:
--         ask claim.lua then

local n = (#KEYS - 2) / 2
local privates = n + 3 -- where they begin in KEYS
local lost = 0
if ARGV[n + 1] == '' then
  -- A removal before anything else: the rest may then run on a server at its maxmemory.
  redis.call('SREM', KEYS[1], '')
else
  lost = 1 - redis.call('LREM', KEYS[privates + ARGV[n + 1]], -1, ARGV[n + 2])
end

local paused = {}
local is_plain = redis.call('EXISTS', unpack(KEYS, n + 2)) == 0
if not is_plain and redis.call('EXISTS', unpack(KEYS, privates)) > 0 then
  return {lost}
end
for w = n + 3, #ARGV do
  local i = tonumber(ARGV[w])
  if not is_plain and redis.call('SISMEMBER', KEYS[n + 2], ARGV[1 + i]) == 1 then
    paused[#paused + 1] = i
  else
    local job = redis.pcall('LMOVE', KEYS[2 + i], KEYS[privates + i], 'RIGHT', 'LEFT')
    if type(job) == 'table' then
      return {lost}
    elseif job then
      redis.call('SADD', KEYS[1], KEYS[privates + i])
      return {lost, i, job, paused}
    end
  end
end
-- The processor will block on BLMOVE next, which cannot note the name of the list it fills.
redis.call('SADD', KEYS[1], unpack(KEYS, privates))
return {lost, false, false, paused}
