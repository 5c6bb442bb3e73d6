#!/usr/bin/env ruby
# SPDX-License-Identifier: MIT
# client.rb commands|write|read PREFIX: Dalli with the meta commands (its other protocol is the binary one).
require 'dalli'

PHASE, PREFIX = ARGV
BINARY = ((0..255).to_a.pack('C*') + "\r\nEND\r\n").b
BIG = '0123456789' * 20_000
CLIENT = Dalli::Client.new("127.0.0.1:#{ENV.fetch('PORT')}", protocol: :meta, socket_timeout: 20, compress: false)
KEPT = { 'plain' => 'value', 'binary' => BINARY, 'big' => BIG, 'overwritten' => 'second', 'deleted' => nil,
         'touched' => 'longer' }.freeze

def same(found, expected, what)
  abort("not ok: #{what}: #{found.inspect[0, 200]} is not #{expected.inspect[0, 200]}") unless found == expected
end

def commands
  key = "#{PREFIX}k"
  same(CLIENT.get(key), nil, 'a miss')
  same(!CLIENT.set(key, 'v').nil?, true, 'set')
  same(CLIENT.get(key), 'v', 'get')
  same(CLIENT.add(key, 'w'), false, 'add what is there')
  CLIENT.replace("#{PREFIX}none", 'w') # answers the same whatever happened
  same(CLIENT.get("#{PREFIX}none"), nil, 'replace what is not there')
  CLIENT.set("#{PREFIX}raw", 'x', 0, raw: true)
  same(CLIENT.append("#{PREFIX}raw", '-end'), true, 'append')
  same(CLIENT.prepend("#{PREFIX}raw", 'start-'), true, 'prepend')
  same(CLIENT.get("#{PREFIX}raw", raw: true), 'start-x-end', 'appended and prepended')

  300.times { |i| CLIENT.set("#{PREFIX}#{i}", "value #{i}") }
  found = CLIENT.get_multi((0..309).map { |i| "#{PREFIX}#{i}" })
  same(found.size, 300, 'get_multi')
  same(found["#{PREFIX}299"], 'value 299', 'its last value')
  CLIENT.quiet { 300.times { |i| CLIENT.set("#{PREFIX}q#{i}", i) } }
  same(CLIENT.get("#{PREFIX}q299"), 299, 'quiet sets')

  same(!CLIENT.cas(key) { |value| "#{value}+" }.nil?, true, 'cas')
  same(CLIENT.get(key), 'v+', 'cas wrote')
  token = CLIENT.get_cas(key).last
  CLIENT.set(key, 'other')
  same(CLIENT.set_cas(key, 'late', token), false, 'cas with an old token')

  same(CLIENT.incr("#{PREFIX}n", 1), nil, 'incr of nothing')
  same(CLIENT.incr("#{PREFIX}n", 1, 100, 10), 10, 'incr with a start')
  same(CLIENT.incr("#{PREFIX}n", 5), 15, 'incr')
  same(CLIENT.decr("#{PREFIX}n", 100), 0, 'decr stops at 0')

  same(CLIENT.touch(key, 100), true, 'touch')
  same(CLIENT.gat(key, 100), 'other', 'gat')
  same(CLIENT.delete(key), true, 'delete')
  same(CLIENT.delete(key), false, 'delete what is not there')

  { 'binary' => BINARY, 'big' => BIG, 'list' => [1, { 'a' => nil }], 'number' => 17 }.each do |name, value|
    CLIENT.set("#{PREFIX}#{name}", value)
    same(CLIENT.get("#{PREFIX}#{name}"), value, name)
  end
  CLIENT.set("#{PREFIX}schl\u00fcssel", 'v') # travels in base64
  same(CLIENT.get("#{PREFIX}schl\u00fcssel"), 'v', 'a key beyond ASCII')

  CLIENT.set("#{PREFIX}short", 'v', 1)
  CLIENT.set("#{PREFIX}long", 'v', 100)
  sleep 2.5
  same(CLIENT.get("#{PREFIX}short"), nil, 'expired')
  same(CLIENT.get("#{PREFIX}long"), 'v', 'not expired')
  same(CLIENT.stats.values.first.key?('pid'), true, 'stats')
  CLIENT.flush_all
end

def write
  [%w[plain value], ['binary', BINARY], ['big', BIG], %w[overwritten first], %w[overwritten second], %w[deleted gone],
   %w[counter 10], %w[touched longer]].each { |name, value| CLIENT.set("#{PREFIX}#{name}", value, 600, raw: true) }
  same(CLIENT.delete("#{PREFIX}deleted"), true, 'delete')
  same(CLIENT.incr("#{PREFIX}counter", 2), 12, 'incr')
  same(CLIENT.touch("#{PREFIX}touched", 3600), true, 'touch')
end

def read
  KEPT.each { |name, value| same(CLIENT.get("#{PREFIX}#{name}", raw: true)&.b, value&.b, name) }
  same(CLIENT.get("#{PREFIX}counter", raw: true).to_i, 12, 'counter')
end

send(PHASE)
