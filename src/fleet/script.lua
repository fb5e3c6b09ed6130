-- The authority: one step of exact GCRA on each key, all or nothing. See fleet/authority.rs for the numbers.
--
-- KEYS   the limits, all in one slot.
-- ARGV   most, least, horizon (us), patience (us), pause (us), and for each key: cost, parts, burst, furthest (us), amount, and what
--        comes back: count, epoch, end (us), end (parts), lowered.
-- Reply  granted, and for each key: wait (us), level, epoch, end (us), end (parts), lowered, paused (us).
--
-- Grants are counted: each takes `amount` permits of each key. A key with the amount 0 refuses nothing, and only tells.
-- What comes back with the epoch 0 is of no lease.
--
-- Times are whole microseconds, and a number of parts of which `parts` make a microsecond. Every number is an integer
-- below 2^53, so no operation rounds.
-- Numbers become text only by %.0f: tostring would write 1.79e+15.
local floor, max, min = math.floor, math.max, math.min
local time = redis.call('TIME')
-- Read once: some servers let it advance within a script, some do not.
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local most, least, horizon = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local patience, pause_for = tonumber(ARGV[4]), tonumber(ARGV[5])

-- x div y for integers 0 <= x < 2^53, 0 < y. The quotient of doubles may be rounded up to the next whole number.
local function div(x, y)
  local q = floor(x / y)
  if q * y > x then q = q - 1 end
  return q
end

-- The quotient rounded up; zero for a negative x.
local function div_up(x, y)
  return x > 0 and div(x + y - 1, y) or 0
end

local limits = {}
local there = most
local is_paused = false
for i = 1, #KEYS do
  local at = 5 + (i - 1) * 10
  local function arg(n) return tonumber(ARGV[at + n]) end
  local limit = { key = KEYS[i], cost = arg(1), parts = arg(2), burst = arg(3), furthest = arg(4), amount = arg(5),
    booked = 0 }
  local cost, parts = limit.cost, limit.parts
  local full = cost * limit.burst
  local full_us = div(full, parts)
  local full_parts = full - full_us * parts
  -- The most that the numbers hold, and not what this member could book: another member may have a larger quota, and what it
  -- has booked stays.
  local latest = max(2 * full_us + 2 + limit.furthest, min(2 ^ 50, div(2 ^ 53 - 1, parts) - 1))

  local text = redis.call('GET', limit.key)
  if text then
    local state = {}
    for number in string.gmatch(text, '%d+') do state[#state + 1] = tonumber(number) end
    limit.tat, limit.tat_parts, limit.lowered, limit.booked = state[1], state[2], state[3], state[4]
    limit.epoch, limit.pause = state[5], state[6]
    -- The clock has stepped back, as that of a new primary may: all times step with it. Earlier leases do not come back.
    local back = state[7] - now
    if back > 0 then
      limit.tat, limit.booked = limit.tat - back, max(0, limit.booked - back)
      limit.pause, limit.epoch, limit.changed = max(0, limit.pause - back), limit.epoch + 1, true
    end
    if state[8] ~= cost or state[9] ~= parts then
      -- Another quota: the missing permits stay, rounded up to a microsecond. Earlier leases do not come back.
      local start = max(now, limit.pause)
      local ahead = limit.tat - start + limit.tat_parts / state[9]
      if ahead > 0 then
        local missing = ahead * (state[9] / state[8]) * (cost / parts)
        limit.tat = start + math.ceil(min(missing, latest))
      end
      limit.tat_parts, limit.epoch, limit.changed = 0, max(now, limit.epoch + 1), true
    end
  else
    limit.tat, limit.tat_parts, limit.lowered = now, 0, 0
    limit.epoch, limit.pause = now, 0
  end

  -- During a pause the bucket stands still, at the time at which the pause ends.
  local start = max(now, limit.pause)
  local longer = now + pause_for - start
  if pause_for > 0 and longer > 0 then
    if limit.tat < start then limit.tat, limit.tat_parts = start, 0 end
    limit.tat, limit.booked = limit.tat + longer, limit.booked + longer
    start = now + pause_for
    limit.pause, limit.changed = start, true
  end
  limit.start = start

  if limit.tat < start then
    limit.tat, limit.tat_parts = start, 0
  elseif limit.tat - start > latest then
    -- Only after a change of quota.
    limit.tat, limit.tat_parts, limit.changed = start + latest, 0, true
  end
  -- The latest time for which permits have been booked.
  limit.booked = max(limit.booked, limit.tat - full_us + (limit.tat_parts > full_parts and 1 or 0))

  local back, epoch, end_us = arg(6) * limit.amount, arg(7), arg(8)
  if back > 0 then
    local missing = (limit.tat - start) * parts + limit.tat_parts
    local seen = max(start, limit.booked)
    if epoch == 0 then
      -- Until the bucket is full, also by a part of a permit.
      back = missing > 0 and min(back, div(missing, cost) + 1) or 0
    elseif epoch == limit.epoch and end_us >= seen then
      -- A lease: the part whose place in the bucket is still to come, less all that came back since.
      local ahead = min(end_us - seen, latest) * parts + arg(9)
      back = min(back, div(ahead, cost) - (limit.lowered - arg(10)), div(missing, cost))
    else
      back = 0
    end
    if back > 0 then
      local units = max(0, missing - back * cost)
      local us = div(units, parts)
      limit.tat, limit.tat_parts = start + us, units - us * parts
      limit.lowered, limit.changed = limit.lowered + back, true
    end
  end

  limit.room = (full_us - (limit.tat - start)) * parts + full_parts - limit.tat_parts
  -- What a grant takes.
  limit.step = cost * limit.amount
  if limit.amount > 0 then
    there = min(there, limit.room > 0 and div(limit.room, limit.step) or 0)
    is_paused = is_paused or start > now
  end
  limits[i] = limit
end

local granted = 0
local can_book = horizon > 0 and #KEYS == 1
-- Until something can be booked: the permits before it come within `furthest`, and `least` of it within the patience.
local function until_booked(limit)
  return max(0, div_up(-limit.room, limit.parts) - limit.furthest,
    div_up(least * limit.step - limit.room, limit.parts) - patience)
end
if is_paused then
  granted = 0
elseif there >= most then
  granted = most
else
  local size = least
  if can_book then
    -- Half of what is left of the horizon: so several members that always want more get the same.
    local limit = limits[1]
    local left = horizon * limit.parts + limit.room
    size = max(least, min(most, left > 0 and div(left, 2 * limit.step) or 0))
  end
  if there >= size then
    granted = there
  elseif can_book and until_booked(limits[1]) == 0 then
    granted = size
  end
end

local reply = { granted }
for _, limit in ipairs(limits) do
  local parts = limit.parts
  local wait = 0
  if limit.amount == 0 then
    -- It refuses nothing, and nobody waits for it.
  elseif granted > 0 then
    local units = limit.tat_parts + granted * limit.step
    local us = div(units, parts)
    limit.tat, limit.tat_parts = limit.tat + us, units - us * parts
    limit.room, limit.changed = limit.room - granted * limit.step, true
    -- Until all that was granted is there.
    wait = div_up(-limit.room, parts)
  elseif can_book then
    wait = limit.start - now + until_booked(limit)
  else
    -- Until `least` are there.
    wait = limit.start - now + div_up(least * limit.step - limit.room, parts)
  end
  if limit.changed then
    -- A full bucket is the same as none.
    local ttl = div(limit.tat - now, 1000) + 2
    local text = string.format('%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f', limit.tat, limit.tat_parts, limit.lowered,
      limit.booked, limit.epoch, limit.pause, now, limit.cost, limit.parts)
    redis.call('SET', limit.key, text, 'PX', string.format('%.0f', ttl))
  end
  reply[#reply + 1] = wait
  reply[#reply + 1] = limit.room > 0 and div(limit.room, limit.cost) or 0
  reply[#reply + 1] = limit.epoch
  reply[#reply + 1] = limit.tat
  reply[#reply + 1] = limit.tat_parts
  reply[#reply + 1] = limit.lowered
  reply[#reply + 1] = limit.start - now
end
return reply
