/**
 * What the engine runs for us, in Lua: whatever has to look at an item before it changes it. An item is one
 * string, see item-head.ts. The library is loaded on every master under a name with its version, so that gates
 * of two versions do not take each other's away.
 *
 * Invariant: whoever changes the code raises FUNCTIONS_VERSION (a test holds the two together). A function
 * answers a list whose first element is one letter: H hit or done, M missing, E exists or another CAS, N not
 * stored, X not a number.
 *
 * The code that runs at a load sees `redis` and nothing else of Lua. Lua numbers are doubles: 64-bit CAS values are compared and counted byte by byte, and decimal numbers by two limbs
 * of ten digits. Strings are never compared by `<`, which follows the locale of the engine. An expiry is
 * milliseconds from now as text: 0 is never, -1 is at once, and nothing keeps what there is.
 */
export const FUNCTIONS_VERSION = 1

const LIBRARY = `saslcached_${FUNCTIONS_VERSION}`

/** The names under which the functions are called. */
export const FUNCTION_STORE: string = `${LIBRARY}_store`
export const FUNCTION_COUNT: string = `${LIBRARY}_count`
export const FUNCTION_TOUCH: string = `${LIBRARY}_touch`
export const FUNCTION_DELETE: string = `${LIBRARY}_delete`
export const FUNCTION_FETCH: string = `${LIBRARY}_fetch`
export const FUNCTION_MAKE: string = `${LIBRARY}_make`
export const FUNCTION_LOOK: string = `${LIBRARY}_look`
export const FUNCTION_GENERATION: string = `${LIBRARY}_generation`

export const FUNCTIONS: string = `#!lua name=${LIBRARY}
local HEAD = 14
local STALE, WON, FETCHED = 1, 2, 4

local function check(item)
  if #item < HEAD or string.byte(item, 1) ~= 1 then
    error({ err = 'FOREIGN the key holds what no gate has stored' })
  end
  return item
end

local function find(key)
  local item = redis.call('GET', key)
  return item and check(item)
end

local function state_of(item) return string.byte(item, 2) end
local function cas_of(item) return string.sub(item, 7, 14) end

local function is_greater(one, other)
  for at = 1, 8 do
    local a, b = string.byte(one, at), string.byte(other, at)
    if a ~= b then return a > b end
  end
  return false
end

local function one_more(cas)
  local bytes = { string.byte(cas, 1, 8) }
  for at = 8, 1, -1 do
    if bytes[at] < 255 then
      bytes[at] = bytes[at] + 1
      return string.char(unpack(bytes))
    end
    bytes[at] = 0
  end
  return string.rep('\\0', 7) .. '\\1'
end

-- The CAS that an item gets behind another: the one asked for, or one that is greater than the last.
local function next_cas(given, is_asked, old)
  if is_asked == '1' or not old or is_greater(given, cas_of(old)) then return given end
  return one_more(cas_of(old))
end

local function put(key, item, px)
  if px == '' then redis.call('SET', key, item, 'KEEPTTL')
  elseif px == '0' then redis.call('SET', key, item)
  elseif px == '-1' then redis.call('DEL', key)
  else redis.call('SET', key, item, 'PX', px) end
end

local function expire(key, px)
  if px == '0' then redis.call('PERSIST', key)
  elseif px == '-1' then redis.call('DEL', key)
  elseif px ~= '' then redis.call('PEXPIRE', key, px) end
end

local function idle(key)
  local seconds = redis.pcall('OBJECT', 'IDLETIME', key)
  return type(seconds) == 'number' and seconds or 0
end

-- mode, CAS to compare, may go stale, flags, new CAS, is it asked for, expiry, value, expiry to make it with, most bytes
local function store(keys, args)
  local key, mode, cas, value = keys[1], args[1], args[2], args[8]
  local old = find(key)
  local state, px, flags = 0, args[7], args[4]
  if mode == 'A' or mode == 'P' then
    if old then
      if cas ~= '' and cas_of(old) ~= cas then return { 'E' } end
      local data = string.sub(old, HEAD + 1)
      value = mode == 'A' and data .. value or value .. data
      if #value > tonumber(args[10]) then return { 'N' } end
      flags, px = string.sub(old, 3, 6), ''
    elseif args[9] ~= '' then px = args[9]
    else return { 'N' } end
  elseif cas ~= '' then
    if not old then return { 'M' } end
    if cas_of(old) ~= cas then
      if args[3] ~= '1' or not is_greater(cas_of(old), cas) then return { 'E' } end
      state, px = bit.bor(bit.band(state_of(old), WON), STALE), ''
    end
  elseif mode == 'E' and old then return { 'E' }
  elseif mode == 'R' and not old then return { 'M' } end
  local new = next_cas(args[5], args[6], old)
  put(key, string.char(1, state) .. flags .. new .. value, px)
  return { 'H', new, tostring(#value) }
end

local BASE = 10000000000
local TOP_HIGH, TOP_LOW = 1844674407, 3709551616 -- 2^64

-- Two limbs of the digits; nothing if they are 2^64 or more.
local function limbs(digits)
  local all = string.match(digits, '^0*(%d*)$')
  if #all > 20 then return nil end
  all = string.rep('0', 20 - #all) .. all
  local high, low = tonumber(string.sub(all, 1, 10)), tonumber(string.sub(all, 11))
  if high > TOP_HIGH or (high == TOP_HIGH and low >= TOP_LOW) then return nil end
  return high, low
end

local function minus(high, low, other_high, other_low)
  low, high = low - other_low, high - other_high
  if low < 0 then low, high = low + BASE, high - 1 end
  return high, low
end

local function digits_of(high, low)
  if high == 0 then return string.format('%.0f', low) end
  return string.format('%.0f%010.0f', high, low)
end

-- As strtoull reads it: blanks, a sign, digits, and behind them the end, a blank or a NUL.
local function number_of(text)
  if #text > 2048 then return nil end
  local sign, digits, rest = string.match(text, '^[ \\t-\\r]*([+-]?)(%d+)(.?)')
  if not digits or not (rest == '' or string.find(rest, '^[%z \\t-\\r]')) then return nil end
  local high, low = limbs(digits)
  if not high or sign ~= '-' or (high == 0 and low == 0) then return high, low end
  high, low = minus(TOP_HIGH, TOP_LOW, high, low)
  if high > 922337203 or (high == 922337203 and low >= 6854775808) then return nil end
  return high, low
end

-- '+' or '-', delta, CAS to compare, new CAS, is it asked for, digits to make it with, expiry then, expiry otherwise
local function count(keys, args)
  local key, old = keys[1], find(keys[1])
  if not old then
    if args[6] == '' then return { 'M' } end
    put(key, string.char(1, 0) .. string.rep('\\0', 4) .. args[4] .. args[6], args[7])
    return { 'H', args[4], args[6], -1, 1 }
  end
  local text = string.sub(old, HEAD + 1)
  if text == '' then return { 'X' } end
  if args[3] ~= '' and cas_of(old) ~= args[3] then return { 'E' } end
  local high, low = number_of(text)
  if not high then return { 'X' } end
  local delta_high, delta_low = limbs(args[2])
  if args[1] == '+' then
    low, high = low + delta_low, high + delta_high
    if low >= BASE then low, high = low - BASE, high + 1 end
    if high > TOP_HIGH or (high == TOP_HIGH and low >= TOP_LOW) then
      high, low = minus(high, low, TOP_HIGH, TOP_LOW)
    end
  elseif high < delta_high or (high == delta_high and low < delta_low) then high, low = 0, 0
  else high, low = minus(high, low, delta_high, delta_low) end
  local digits = digits_of(high, low)
  local new = next_cas(args[4], args[5], old)
  local before = redis.call('PTTL', key)
  put(key, string.sub(old, 1, 6) .. new .. digits .. string.rep(' ', #text - #digits), '')
  expire(key, args[8])
  return { 'H', new, digits, before, 0 }
end

-- expiry
local function touch(keys, args)
  local head = redis.call('GETRANGE', keys[1], 0, HEAD - 1)
  if head == '' then return { 'M' } end
  check(head)
  expire(keys[1], args[1])
  return { 'H', head }
end

-- CAS to compare, flags to empty it with, makes it stale, expiry, new CAS, is it asked for
local function delete(keys, args)
  local key, old = keys[1], find(keys[1])
  if not old then return { 'M' } end
  if args[1] ~= '' and cas_of(old) ~= args[1] then return { 'E' } end
  local isEmptied, isStale, px = args[2] ~= '', args[3] == '1', args[4]
  if not isEmptied and not isStale then
    redis.call('DEL', key)
    return { 'H' }
  end
  local item = old
  if isEmptied then
    local cas = args[6] == '1' and args[5] or cas_of(old)
    item = string.char(1, 0) .. args[2] .. cas
    if px == '' then px = '0' end
  end
  if isStale then
    local state = bit.bor(bit.band(state_of(item), bit.bnot(WON)), STALE)
    item = string.char(1, state) .. string.sub(item, 3, 6) .. next_cas(args[5], args[6], old) .. string.sub(item, HEAD + 1)
  end
  put(key, item, px)
  return { 'H' }
end

-- expiry, seconds below which it is recached, are those looked at behind the new expiry, is it marked as read,
-- expiry to make it with, CAS then
local function fetch(keys, args)
  local key = keys[1]
  local seconds = idle(key)
  local item, made = find(key), 0
  local before = item and redis.call('PTTL', key) or -1
  if not item then
    if args[5] == '' then return { 'M' } end
    item, made = string.char(1, 0) .. string.rep('\\0', 4) .. args[6], 1
  end
  local state = state_of(item)
  local isSent = bit.band(state, WON) ~= 0
  local won = made == 1 or (bit.band(state, STALE) ~= 0 and not isSent)
  local left = before
  if args[1] ~= '' and args[3] == '1' then left = tonumber(args[1]) end
  if args[1] == '0' and args[3] == '1' then left = -1 end
  if args[2] ~= '' and not isSent and left >= 0 and math.ceil(left / 1000) < tonumber(args[2]) then won = true end
  local now = state
  if won then now = bit.bor(now, WON) end
  if args[4] == '1' then now = bit.bor(now, FETCHED) end
  if made == 1 then
    put(key, string.char(1, now) .. string.sub(item, 3), args[5])
  else
    if now ~= state then redis.call('SETRANGE', key, 1, string.char(now)) end
    expire(key, args[1])
  end
  return { 'H', item, before, seconds, made, won and 1 or 0 }
end

local function look(keys)
  local seconds = idle(keys[1])
  local head = redis.call('GETRANGE', keys[1], 0, HEAD - 1)
  if head == '' then return { 'M' } end
  return { 'H', check(head), redis.call('PTTL', keys[1]), seconds, redis.call('STRLEN', keys[1]) - HEAD }
end

-- The generation that a gate knows, and a flush: none, now, or milliseconds from now. Answers that of the moment.
local function generation(keys, args)
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local stored = redis.call('GET', keys[1]) or '0'
  local number, due = string.match(stored, '^(%d+) ?(%d*)$')
  if not number then error({ err = 'FOREIGN the key holds what no gate has stored' }) end
  number, due = tonumber(number), tonumber(due)
  if due and due <= now then number, due = number + 1, nil end
  number = math.max(number, tonumber(args[1]))
  if args[2] == '0' then number, due = number + 1, nil
  elseif args[2] ~= '' then due = now + tonumber(args[2]) end
  local text = string.format('%.0f', number)
  local next = due and text .. string.format(' %.0f', due) or text
  if next ~= stored then redis.call('SET', keys[1], next) end
  return text
end

local function register(name, callback, flags)
  redis.register_function { function_name = '${LIBRARY}_' .. name, callback = callback, flags = flags }
end

register('store', store, {})
register('count', count, {})
register('touch', touch, { 'allow-oom' })
register('delete', delete, { 'allow-oom' })
register('fetch', fetch, { 'allow-oom' })
register('make', fetch, {})
register('look', look, { 'no-writes' })
register('generation', generation, { 'allow-oom' })
`
