-- Moves a slot to the time at which its request was answered: it arrived before that. ARGV: name, slot
redis.call('ZADD', P .. 'slots:' .. ARGV[1], 'XX', now, ARGV[2])
