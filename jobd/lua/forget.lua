-- Forget the name of a private list, unless something came to lie in it.
--
-- KEYS  1 jobd:privates, 2 the private list
-- Returns 1 if it was forgotten, else 0

redis.call('SREM', KEYS[1], '')
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
return redis.call('SREM', KEYS[1], KEYS[2])
