-- Move a claimed job from the private list of the processor that claimed it to another one's. Sent
-- again after a lost reply, it finds the job where it has moved it.
--
-- KEYS  1 private list, 2 private list where it goes, 3 jobd:privates
-- ARGV  1 job
-- Returns 1 if the second list holds it now, else 0: somebody has recovered it

if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then
  return redis.call('LPOS', KEYS[2], ARGV[1]) and 1 or 0
end
local refused = redis.pcall('SADD', KEYS[3], KEYS[2])
if type(refused) ~= 'table' then
  refused = redis.pcall('LPUSH', KEYS[2], ARGV[1])
end
if type(refused) == 'table' then
  -- One is of the wrong type; what a script did is not rolled back.
  redis.call('RPUSH', KEYS[1], ARGV[1])
  return refused
end
return 1
