/* SPDX-License-Identifier: MIT */
/*
 * The scripts that run inside Redis, so that the version guard is atomic.
 *
 * The apply scripts take several mutations: a call has a fixed cost about as high as that of one mutation.
 *
 *     KEYS  the keys of the high version and of the mark, then per mutation: hash: the key; string: the key and its
 *           companion
 *     ARGV  now, life of a tombstone (seconds), highest version of the call (0: no mutations), the mark that the store
 *           has to have ("" for any), the high version that it has to have at least, a new mark ("": neither of the two keys
 *           is looked at; in a cluster the slot of a row has none, and the row stands for them), then per mutation eight:
 *           p, t or d; version; value; flags; expires_at; client_cas ("" for none); marks ("" for none); what it is on:
 *           "" for anything; a version; "=" for its client_cas; "-" for no row; or "-" before a version or "=" for the one or
 *           the other
 *
 * and return, of each mutation that was superseded, its position (from 0) and the version that it met.
 *
 * Versions have up to 63 bits and Lua's numbers 53: versions are compared as decimal strings. Whatever is stored may
 * be somebody else's: what is no version counts as '0', a companion of another type as none, and a high version that
 * is none makes the call fail before anything is changed. So does a store that is another one, or an older one of
 * itself (mark.c). No key is removed to be made anew: while its slot is on its way to another node of a cluster, a
 * script may not make it there.
 */
#include "backends/redis/internal.h"

/* ENTRY_VERSION_HIGHEST, as a script compares it. */
#define HIGHEST "9079256848778919936"
_Static_assert(ENTRY_VERSION_HIGHEST == 9079256848778919936u, "HIGHEST is another number");

#define LUA_COMMON                                                                                           \
    "local function newer(a, b) return #a > #b or (#a == #b and a > b) end\n"                                \
    "local function is_version(text)\n"                                                                      \
    "  return #text < 20 and string.find(text, '^[1-9]%d*$') and not newer(text, '" HIGHEST "')\n"           \
    "end\n"                                                                                                  \
    "if ARGV[6] ~= '' then\n"                                                                                \
    "local high = redis.pcall('GET', KEYS[1])\n"                                                             \
    "if type(high) == 'table' and string.sub(high.err, 1, 9) ~= 'WRONGTYPE' then return high end\n"          \
    "if high and (type(high) == 'table' or not is_version(high)) then\n"                                     \
    "  local shown = type(high) == 'table' and 'a value of another type' or string.sub(high, 1, 40)\n"       \
    "  shown = string.gsub(shown, '[^%w%p ]', '?')\n"                                                        \
    "  return redis.error_reply('FOREBAY the key ' .. KEYS[1] .. ' holds ' .. shown\n"                       \
    "                           .. ', which is no version: delete it')\n"                                    \
    "end\n"                                                                                                  \
    "local mark = redis.pcall('GET', KEYS[2])\n"                                                             \
    "if type(mark) == 'table' and string.sub(mark.err, 1, 9) ~= 'WRONGTYPE' then return mark end\n"          \
    "if ARGV[4] ~= '' and mark ~= ARGV[4] then return redis.error_reply('OTHERSTORE other') end\n"           \
    "if newer(ARGV[5], high or '0') then\n"                                                                  \
    "  redis.call('SET', KEYS[2], ARGV[6])\n"                                                                \
    "  return redis.error_reply('OTHERSTORE older')\n"                                                       \
    "end\n"                                                                                                  \
    "if newer(ARGV[3], high or '0') then redis.call('SET', KEYS[1], ARGV[3]) end\n"                          \
    "end\n"                                                                                                  \
    "local superseded, now = {}, tonumber(ARGV[1])\n"                                                        \
    "local function supersede(position, stored)\n"                                                           \
    "  superseded[#superseded + 1] = position\n"                                                             \
    "  superseded[#superseded + 1] = stored or '0'\n"                                                        \
    "end\n"                                                                                                  \
    "local function meets(stored, cas, touched)\n"                                                           \
    "  cas = cas or stored\n"                                                                                \
    "  if not stored or stored == '0' or cas == touched then return 'same' end\n"                            \
    "  return newer(cas, touched) and 'newer' or 'older'\n"                                                  \
    "end\n"                                                                                                  \
    "local function is_on(base, stored, alive, met)\n"                                                       \
    "  if not alive then return string.sub(base, 1, 1) == '-' end\n"                                         \
    "  if string.sub(base, -1) == '=' then return met == 'same' end\n"                                       \
    "  return base ~= '-' and (not stored or stored == '0'\n"                                                \
    "                          or stored == (string.gsub(base, '^-', '')))\n"                                \
    "end\n"

static const char apply_hash[] = LUA_COMMON
    "local function bury(key, version)\n"
    "  redis.call('HSET', key, 'version', version)\n"
    "  redis.call('HDEL', key, 'value', 'flags', 'expires_at', 'cas', 'marks')\n"
    "  redis.call('EXPIRE', key, ARGV[2])\n"
    "end\n"
    "local function is_alive(key)\n"
    "  local row = redis.call('HMGET', key, 'value', 'expires_at')\n"
    "  local expires = tonumber(row[2] or '0') or 0\n"
    "  return row[1] and (expires == 0 or expires > now)\n"
    "end\n"
    "local at = 7\n"
    "for i = 3, #KEYS do\n"
    "  local key, kind, version, expires = KEYS[i], ARGV[at], ARGV[at + 1], ARGV[at + 4]\n"
    "  local stored, on = redis.call('HGET', key, 'version'), ARGV[at + 7]\n"
    "  if stored and not is_version(stored) then stored = '0' end\n"
    "  local cas = kind == 't' and stored and redis.call('HGET', key, 'cas')\n"
    "  local met = kind == 't' and meets(stored, cas, ARGV[at + 5])\n"
    "  local alive = on == '' or stored == version or is_alive(key)\n"
    "  if stored and newer(stored, version)\n"
    "     or stored ~= version and (on == '' and met == 'newer'\n"
    "                               or on ~= '' and not is_on(on, stored, alive, met)) then\n"
    "    supersede(i - 3, stored)\n"
    "  elseif kind == 'd' or (expires ~= '0' and tonumber(expires) <= now and stored ~= version) then\n"
    "    bury(key, version)\n"
    "  elseif stored ~= version then\n"
    "    if kind == 't' and alive and met ~= 'older' and redis.call('HEXISTS', key, 'value') == 1 then\n"
    "      redis.call('HSET', key, 'version', version, 'expires_at', expires)\n"
    "      redis.call('HDEL', key, 'cas', 'marks')\n"
    "      if expires == '0' then redis.call('PERSIST', key) end\n"
    "    else\n"
    "      redis.call('HSET', key, 'value', ARGV[at + 2], 'version', version, 'flags', ARGV[at + 3],\n"
    "                 'expires_at', expires)\n"
    "      if stored then\n"
    "        redis.call('HDEL', key, 'cas', 'marks')\n"
    "        if expires == '0' then redis.call('PERSIST', key) end\n"
    "      end\n"
    "    end\n"
    "    if ARGV[at + 5] ~= '' then redis.call('HSET', key, 'cas', ARGV[at + 5]) end\n"
    "    if ARGV[at + 6] ~= '' then redis.call('HSET', key, 'marks', ARGV[at + 6]) end\n"
    "    if expires ~= '0' then redis.call('PEXPIREAT', key, expires .. '000') end\n"
    "  end\n"
    "  at = at + 8\n"
    "end\n"
    "return superseded\n";

static const char apply_string[] = LUA_COMMON
    "local function version_in(beside)\n"
    "  local stored = redis.pcall('HGET', beside, 'version')\n"
    "  if type(stored) == 'table' then\n"
    "    if string.sub(stored.err, 1, 9) ~= 'WRONGTYPE' then error(stored) end\n"
    "    redis.call('DEL', beside)\n"
    "    return false\n"
    "  end\n"
    "  if stored and not is_version(stored) then return '0' end\n"
    "  return stored\n"
    "end\n"
    "local function is_alive(key)\n"
    "  local expires = redis.call('PEXPIRETIME', key)\n"
    "  return expires == -1 or expires > now * 1000\n"
    "end\n"
    "local at = 7\n"
    "for i = 3, #KEYS, 2 do\n"
    "  local key, beside, kind, version = KEYS[i], KEYS[i + 1], ARGV[at], ARGV[at + 1]\n"
    "  local flags, expires, on = ARGV[at + 3], ARGV[at + 4], ARGV[at + 7]\n"
    "  local stored = version_in(beside)\n"
    "  local cas = kind == 't' and stored and redis.call('HGET', beside, 'cas')\n"
    "  local met = kind == 't' and meets(stored, cas, ARGV[at + 5])\n"
    "  local alive = on == '' or stored == version or is_alive(key)\n"
    "  if stored and newer(stored, version)\n"
    "     or stored ~= version and (on == '' and met == 'newer'\n"
    "                               or on ~= '' and not is_on(on, stored, alive, met)) then\n"
    "    supersede((i - 3) / 2, stored)\n"
    "  elseif kind == 'd' or (expires ~= '0' and tonumber(expires) <= now and stored ~= version) then\n"
    "    redis.call('DEL', key)\n"
    "    redis.call('HSET', beside, 'version', version)\n"
    "    redis.call('HDEL', beside, 'flags', 'cas', 'marks')\n"
    "    redis.call('EXPIRE', beside, ARGV[2])\n"
    "  elseif stored ~= version then\n"
    "    if kind == 't' and alive and met ~= 'older' and redis.call('EXISTS', key) == 1 then\n"
    "      flags = redis.call('HGET', beside, 'flags') or '0'\n"
    "      if expires == '0' then redis.call('PERSIST', key)\n"
    "      else redis.call('PEXPIREAT', key, expires .. '000') end\n"
    "    elseif expires == '0' then redis.call('SET', key, ARGV[at + 2])\n"
    "    else redis.call('SET', key, ARGV[at + 2], 'PXAT', expires .. '000') end\n"
    "    redis.call('HSET', beside, 'version', version, 'flags', flags)\n"
    "    if stored then\n"
    "      redis.call('HDEL', beside, 'cas', 'marks')\n"
    "      if expires == '0' then redis.call('PERSIST', beside) end\n"
    "    end\n"
    "    if ARGV[at + 5] ~= '' then redis.call('HSET', beside, 'cas', ARGV[at + 5]) end\n"
    "    if ARGV[at + 6] ~= '' then redis.call('HSET', beside, 'marks', ARGV[at + 6]) end\n"
    "    if expires ~= '0' then redis.call('PEXPIREAT', beside, expires .. '000') end\n"
    "  end\n"
    "  at = at + 8\n"
    "end\n"
    "return superseded\n";

/* Key and companion in one look, in the order of the fields of a hash; the expiry is the key's own, which others may
 * have changed. Each time that its slot moves it ends some milliseconds later, as MIGRATE sends the rest of its life:
 * up to a quarter of a second more is none. */
static const char load_string[] =
    "local value = redis.call('GET', KEYS[1])\n"
    "if not value then return false end\n"
    "local beside = redis.pcall('HMGET', KEYS[2], 'version', 'flags', 'cas', 'marks')\n"
    "if beside.err and string.sub(beside.err, 1, 9) ~= 'WRONGTYPE' then return beside end\n"
    "if beside.err then beside = {false, false, false, false} end\n"
    "local expires = redis.call('PEXPIRETIME', KEYS[1])\n"
    "local seconds = expires < 0 and '0' or string.format('%.0f', math.ceil((expires - 250) / 1000))\n"
    "return {value, beside[1], beside[2], seconds, beside[3], beside[4]}\n";

/*
 *     KEYS  that of the nodes (nodes.c)
 *     ARGV  node number, data folder, process, name of this server, seconds until it counts as gone, the process that it
 *           is the heir of, or "-", or "" if it had the number already
 *
 * returns the time, how many other numbers are in use, and what the one that has our number has said of itself, or ''.
 * Who had no number yet takes that of its own data folder over, and that of the one whose heir it is.
 */
static const char register_node[] =
    "local time = redis.call('TIME')\n"
    "local now, life, others, holder, mine = tonumber(time[1]), tonumber(ARGV[5]), 0, '', 0\n"
    "local all = redis.call('HGETALL', KEYS[1])\n"
    "for i = 1, #all, 2 do\n"
    "  local seen, home, itself = string.match(all[i + 1], '^(%d+) (%S+) (%S+) ')\n"
    "  local age = now - (tonumber(seen) or 0)\n"
    "  if age > life or age < -life then redis.call('HDEL', KEYS[1], all[i])\n"
    "  elseif all[i] ~= ARGV[1] then others = others + 1\n"
    "  elseif itself == ARGV[3] then mine = tonumber(seen)\n"
    "  elseif ARGV[6] == '' or (home ~= ARGV[2] and itself ~= ARGV[6]) then holder = all[i + 1] end\n"
    "end\n"
    "if holder == '' and now - mine >= life / 5 then\n"
    "  redis.call('HSET', KEYS[1], ARGV[1], table.concat({time[1], ARGV[2], ARGV[3], ARGV[4]}, ' '))\n"
    "  redis.call('EXPIRE', KEYS[1], 10 * life)\n"
    "end\n"
    "return {time[1], time[2], others, holder}\n";

const char *redis_script_text(enum redis_script script) {
    static const char *const texts[REDIS_SCRIPTS] = {apply_hash, apply_string, load_string, register_node};
    return texts[script];
}
