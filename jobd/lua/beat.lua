-- The heartbeat of an instance: who it is, what it runs, what it has counted. Sent again after a
-- lost reply, with the same number, it counts nothing twice and tells the same remote command.
--
-- KEYS  1 IDENTITY:work, 2 IDENTITY, 3 jobd:instance:IDENTITY, 4 processes, 5 IDENTITY-signals,
--       then the keys of the further commands
-- ARGV  1 identity, 2 life of the heartbeat in seconds, 3 number of the beat, 4 w, 5 p and 6 i: how
--       many arguments the work, the process and the instance hash take, then these as field, value,
--       ..., then further commands (counts, mostly), each after its length
-- Returns {1 if the heartbeat was still there, else 0; a remote command or false; {s, µs} now; the
--         error of a further command, or false}

redis.call('DEL', KEYS[1])
local w, p, i = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local at = 7
if w > 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV, at, at + w - 1))
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
at = at + w
local known = redis.call('EXISTS', KEYS[2])
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('HSET', KEYS[2], unpack(ARGV, at, at + p - 1))
redis.call('EXPIRE', KEYS[2], ARGV[2])
at = at + p
local last = redis.call('HMGET', KEYS[3], 'beat_number', 'command')
local is_again = last[1] == ARGV[3]
local command = last[2]
if not is_again then command = redis.call('RPOP', KEYS[5]) end
redis.call('DEL', KEYS[3])
redis.call('HSET', KEYS[3], 'beat_number', ARGV[3], unpack(ARGV, at, at + i - 1))
if command then redis.call('HSET', KEYS[3], 'command', command) end
redis.call('EXPIRE', KEYS[3], ARGV[2])
at = at + i
local refused = false
while at <= #ARGV and not is_again do
  local size = tonumber(ARGV[at])
  local reply = redis.pcall(unpack(ARGV, at + 1, at + size))
  if type(reply) == 'table' and reply.err then refused = reply.err end
  at = at + 1 + size
end
return {known, command, redis.call('TIME'), refused}
