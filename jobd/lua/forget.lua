-- Forget the names of private lists, but of none in which something came to lie.
--
-- KEYS  1 jobd:privates, then the private lists
-- Returns how many were forgotten

redis.call('SREM', KEYS[1], '')
local forgotten = 0
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    forgotten = forgotten + redis.call('SREM', KEYS[1], KEYS[i])
  end
end
return forgotten
