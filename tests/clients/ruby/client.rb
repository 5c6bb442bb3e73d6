# SPDX-License-Identifier: MIT
# client.rb dalli|rails commands|write|read|down PREFIX: ruby-dalli, which speaks the binary protocol alone in Debian's version, by
# itself and as Rails' mem_cache_store. With a SASL_USER it authenticates.

require 'logger'
require 'timeout'
require 'dalli'

KIND, PHASE, PREFIX = ARGV
SERVER = "127.0.0.1:#{ENV.fetch('PORT')}"
BINARY = (0..255).map(&:chr).join.b + "\r\nEND\r\n".b
BIG = '0123456789' * 20_000
RAW = { raw: true, compress: false }.freeze

Dalli.logger = Logger.new($stdout, level: Logger::FATAL)

def connect(timeout)
  Dalli::Client.new(SERVER, socket_timeout: timeout, username: ENV['SASL_USER'], password: ENV['SASL_PASSWORD'])
end

def same(found, expected, what)
  return if found == expected

  puts "not ok: #{what}: #{found.inspect[0, 200]} is not #{expected.inspect[0, 200]}"
  exit 1
end

def fails(what)
  yield
rescue Dalli::DalliError
  nil
else
  same('success', 'a failure', what)
end

# Until a life of a second has ended.
def until_gone
  200.times do
    break if yield

    sleep 0.1
  end
end

def one_key(client, key)
  same client.get(key), nil, 'a miss'
  same client.set(key, 'v', nil, RAW).is_a?(Integer), true, 'set returns the CAS'
  same client.get(key, RAW), 'v', 'get'
  same client.add(key, 'w', nil, RAW), false, 'add what is there'
  same client.add("#{key}new", 'w').is_a?(Integer), true, 'add'
  same client.replace("#{key}none", 'w'), 0, 'replace what is not there' # no CAS
  same client.replace(key, 'x', nil, RAW).is_a?(Integer), true, 'replace'
  same client.append(key, '-end'), true, 'append'
  same client.prepend(key, 'start-'), true, 'prepend'
  same client.append("#{key}none", '-end'), false, 'append to nothing'
  same client.get(key, RAW), 'start-x-end', 'appended and prepended'
  same client.touch(key, 100), true, 'touch'
  same client.gat(key, 100), 'start-x-end', 'get and touch'
  same client.delete(key), true, 'delete'
  same !client.delete(key), true, 'delete what is not there'
  same client.touch(key, 100), nil, 'touch what is not there'
end

def many_keys(client)
  values = (0...300).to_h { |i| ["#{PREFIX}#{i}", "value #{i}"] }
  client.multi { values.each { |key, value| client.set(key, value) } }
  same client.get_multi(*values.keys, "#{PREFIX}none"), values, 'set quietly, got at once'
  client.multi { values.keys.first(299).each { |key| client.delete(key) } }
  same client.get_multi(*values.keys), values.slice("#{PREFIX}299"), 'deleted quietly'
  same client.get("#{PREFIX}299"), 'value 299', 'what it says next is about what was asked next'
end

def compare(client, key)
  client.set(key, [1])
  same client.cas(key) { |value| value + [2] }.is_a?(Integer), true, 'cas'
  same client.get(key), [1, 2], 'cas wrote'
  client.cas(key) do |value|
    client.set(key, ['between'])
    value + [3]
  end
  same client.get(key), ['between'], 'cas with an old token did not'
  value, token = client.get_cas(key)
  same client.set_cas(key, 'second', token).is_a?(Integer), true, 'set_cas'
  same client.delete_cas(key, token), false, 'delete_cas with an old token'
  same value, ['between'], 'get_cas'
end

def count(client, key)
  same client.incr(key, 5), nil, 'incr of nothing'
  same client.incr(key, 5, 60, 10), 10, 'incr makes one'
  same client.incr(key, 5), 15, 'incr'
  same client.decr(key, 100), 0, 'decr stops at 0'
  client.set("#{key}text", 'ten', 60, RAW)
  fails('incr of a text') { client.incr("#{key}text") }
end

def values(client)
  { 'binary' => BINARY, 'list' => [1, { 'a' => nil }], 'big' => BIG }.each do |name, value|
    client.set(PREFIX + name, value)
    same client.get(PREFIX + name), value, name
  end
  fails('too large') { client.set("#{PREFIX}big", BIG * 8, 60, RAW) }
  client.set("#{PREFIX}short", 'v', 1)
  client.set("#{PREFIX}long", 'v', 100)
  until_gone { client.get("#{PREFIX}short").nil? }
  same client.get("#{PREFIX}short"), nil, 'expired'
  same client.get("#{PREFIX}long"), 'v', 'not expired'
end

def dalli_commands(client)
  one_key client, "#{PREFIX}k"
  many_keys client
  compare client, "#{PREFIX}c"
  count client, "#{PREFIX}n"
  values client
  same client.stats[SERVER]['pid'].to_i.positive?, true, 'stats'
  same client.version.keys, [SERVER], 'version'
  same client.flush, [true], 'flush'
end

# config.cache_store = :mem_cache_store, "127.0.0.1:11211"
def rails_commands
  require 'active_support'
  require 'active_support/cache'
  store = ActiveSupport::Cache.lookup_store(:mem_cache_store, SERVER, namespace: PREFIX)
  same store.fetch('k', expires_in: 60) { [1, 'two'] }, [1, 'two'], 'fetch of what is not there'
  same store.fetch('k') { 'another' }, [1, 'two'], 'fetch'
  same store.write('k', 'w', unless_exist: true), false, 'write where nothing is'
  store.write_multi({ 'a' => 1, 'b' => { c: 2 } })
  same store.read_multi('a', 'b', 'none'), { 'a' => 1, 'b' => { c: 2 } }, 'read_multi'
  store.write('n', 10, raw: true)
  same store.increment('n', 5), 15, 'increment'
  same store.decrement('n', 1), 14, 'decrement'
  same store.delete('k'), true, 'delete'
  same store.exist?('k'), false, 'exist?'
  store.clear
end

def write(client)
  { 'plain' => 'value', 'binary' => BINARY, 'big' => BIG, 'overwritten' => 'first', 'deleted' => 'gone', 'counter' => '10',
    'touched' => 'longer' }.each { |name, value| client.set(PREFIX + name, value, 600, RAW) }
  client.set("#{PREFIX}overwritten", 'second', 600, RAW)
  same client.delete("#{PREFIX}deleted"), true, 'delete'
  same client.incr("#{PREFIX}counter", 2), 12, 'incr'
  same client.touch("#{PREFIX}touched", 3600), true, 'touch'
end

def read(client)
  { 'plain' => 'value', 'binary' => BINARY, 'big' => BIG, 'overwritten' => 'second', 'deleted' => nil, 'counter' => '12',
    'touched' => 'longer' }.each { |name, value| same client.get(PREFIX + name, RAW)&.strip, value&.strip, name }
end

# Of no kind that a client takes for a failure of the server.
class Silence < Exception; end # rubocop:disable Lint/InheritException

def word(client, ask)
  Timeout.timeout(3, Silence) { ask.call(client) }
  'miss'
rescue Dalli::DalliError
  'failure'
rescue Silence
  'silence'
end

# What test_backend_down.py asks. What is got afterwards on the same connection has to be what was asked for.
def down
  { 'get' => ->(client) { client.get("#{PREFIX}k", RAW) },
    'many' => ->(client) { client.get_multi("#{PREFIX}here", "#{PREFIX}k") } }.each do |what, ask|
    client = connect(5)
    found = word(client, ask)
    same client.get("#{PREFIX}here", RAW), 'v', 'the next get' unless found == 'silence'
    puts "#{what} #{found}"
  end
end

case PHASE
when 'commands' then KIND == 'rails' ? rails_commands : dalli_commands(connect(20))
when 'write' then write(connect(20))
when 'read' then read(connect(20))
when 'down' then down
end
