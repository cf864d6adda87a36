-- Push jobs, unless this very push has arrived before.
--
-- KEYS  1 the numbers of this client's last pushes, then the keys of the commands
-- ARGV  1 number of the push, 2 for how many seconds it is remembered, 3 how many numbers to remember,
--       then commands, each after its length; those that only look come first
-- Returns 1 if it was pushed, 0 if it had been before

if redis.call('LPOS', KEYS[1], ARGV[1]) then
  return 0
end
local at = 4
while at <= #ARGV do
  local size = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + size))
  at = at + 1 + size
end
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[3] - 1)
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
