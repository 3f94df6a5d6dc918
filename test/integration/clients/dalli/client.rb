# frozen_string_literal: true

# Drives dalli through everything that it can do over the binary dialect.
#
# The contract with the test is in test/support/client-suite.ts.

require 'dalli'
require 'logger'
require 'openssl'

Dalli.logger = Logger.new(File::NULL)
$stdout.sync = true

LARGE = '0123456789abcdef' * 62_500

def tls
  return {} if ENV.fetch('CLIENT_CA', '').empty?

  context = OpenSSL::SSL::SSLContext.new
  # Without them it would look at no certificate, and at no name.
  context.set_params(ca_file: ENV.fetch('CLIENT_CA'))
  unless ENV.fetch('CLIENT_CERTIFICATE').empty?
    context.cert = OpenSSL::X509::Certificate.new(File.read(ENV.fetch('CLIENT_CERTIFICATE')))
    context.key = OpenSSL::PKey.read(File.read(ENV.fetch('CLIENT_KEY')))
  end
  { ssl_context: context }
end

def connect(options = {})
  Dalli::Client.new(
    "#{ENV.fetch('CLIENT_HOST')}:#{ENV.fetch('CLIENT_PORT')}",
    {
      username: ENV.fetch('CLIENT_USER'), password: ENV.fetch('CLIENT_PASSWORD'), compress: false,
      socket_timeout: ENV.fetch('CLIENT_PATIENCE_MS').to_i / 1000.0
    }.merge(tls, options)
  )
end

def login
  connect(socket_max_failures: 0).get('missing')
  puts 'accepted'
rescue Dalli::DalliError, OpenSSL::SSL::SSLError => e
  puts "refused: #{e.class} #{e.message}"
end

def equal(seen, expected)
  raise "expected #{expected.inspect}, saw #{seen.inspect}"[0, 500] unless seen == expected
end

def gone_within(client, key, seconds)
  deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
  until client.get(key).nil?
    raise 'the item did not expire' if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

    sleep 0.05
  end
end

CHECKS = {
  'get' => lambda do |client|
    equal client.get('get-missing'), nil
    client.set('get', 'wörd')
    equal client.get('get').force_encoding('UTF-8'), 'wörd'
  end,
  'get of every type' => lambda do |client|
    ['text', 42, 1.5, :symbol, [1, { a: 2 }], true, nil, ''].each do |value|
      equal client.set('type', value) ? true : false, true
      equal client.get('type'), value
    end
  end,
  'get_multi' => lambda do |client|
    expected = (0...100).to_h { |index| ["multi-#{index}", "value #{index}"] }
    expected.each { |key, value| client.set(key, value) }
    equal client.get_multi(*expected.keys, 'multi-missing'), expected
  end,
  'get_multi_cas' => lambda do |client|
    client.set('multi-cas', 'x')
    seen = client.get_multi_cas('multi-cas', 'multi-cas-missing')
    equal seen.keys, ['multi-cas']
    equal seen['multi-cas'][0], 'x'
    equal seen['multi-cas'][1].positive?, true
  end,
  'fetch' => lambda do |client|
    equal client.fetch('fetch') { 'made' }, 'made'
    equal client.fetch('fetch') { 'made again' }, 'made'
  end,
  'gat' => lambda do |client|
    equal client.gat('gat', 100), nil
    client.set('gat', 'x')
    # Gone by the end of the next check; dalli passes no time in the past on.
    equal client.gat('gat', 1), 'x'
  end,
  'touch' => lambda do |client|
    equal client.touch('touch', 100), nil
    client.set('touch', 'x')
    equal client.touch('touch', 100), true
    equal client.get('touch'), 'x'
    equal client.touch('touch', 1), true
    gone_within(client, 'touch', 10)
    gone_within(client, 'gat', 10)
  end,
  'set' => lambda do |client|
    equal client.set('set', 'one').positive?, true
    equal client.set('set', 'two').positive?, true
    equal client.get('set'), 'two'
    client.set('set-raw', 42, 0, raw: true)
    equal client.get('set-raw', raw: true), '42'
  end,
  'set with expiry' => lambda do |client|
    client.set('expiry', 'long', 100)
    equal client.get('expiry'), 'long'
    client.set('expiry', 'short', 1)
    gone_within(client, 'expiry', 10)
  end,
  'add' => lambda do |client|
    equal client.add('add', 'first') ? true : false, true
    equal client.add('add', 'second'), false
    equal client.get('add'), 'first'
  end,
  'replace' => lambda do |client|
    equal client.replace('replace', 'none'), 0
    client.set('replace', 'old')
    equal client.replace('replace', 'new') ? true : false, true
    equal client.get('replace'), 'new'
  end,
  'append' => lambda do |client|
    equal client.append('append-missing', 'x'), false
    client.set('append', 'left', 0, raw: true)
    equal client.append('append', '-right'), true
    equal client.get('append', raw: true), 'left-right'
  end,
  'prepend' => lambda do |client|
    equal client.prepend('prepend-missing', 'x'), false
    client.set('prepend', 'right', 0, raw: true)
    equal client.prepend('prepend', 'left-'), true
    equal client.get('prepend', raw: true), 'left-right'
  end,
  'cas' => lambda do |client|
    equal client.cas('cas-missing') { 'x' }, nil
    client.set('cas', 'one')
    equal client.cas('cas') { |old| "#{old} two" } ? true : false, true
    equal client.get('cas'), 'one two'
    lost = client.cas('cas') do |old|
      connect.set('cas', 'meanwhile')
      "#{old} three"
    end
    equal lost, false
    equal client.get('cas'), 'meanwhile'
    equal client.cas!('cas') { 'forced' } ? true : false, true
  end,
  'get_cas and set_cas' => lambda do |client|
    client.set('set-cas', 'one')
    value, cas = client.get_cas('set-cas')
    equal value, 'one'
    equal client.set_cas('set-cas', 'two', cas).positive?, true
    equal client.set_cas('set-cas', 'three', cas), false
    equal client.get('set-cas'), 'two'
  end,
  'replace_cas and delete_cas' => lambda do |client|
    client.set('replace-cas', 'one')
    _, cas = client.get_cas('replace-cas')
    equal client.replace_cas('replace-cas', 'two', cas).positive?, true
    equal client.replace_cas('replace-cas', 'three', cas), false
    equal client.delete_cas('replace-cas', cas), false
    _, cas = client.get_cas('replace-cas')
    equal client.delete_cas('replace-cas', cas), true
    equal client.get('replace-cas'), nil
  end,
  'delete' => lambda do |client|
    equal client.delete('delete'), nil
    client.set('delete', 'x')
    equal client.delete('delete'), true
    equal client.get('delete'), nil
  end,
  'incr' => lambda do |client|
    equal client.incr('incr'), nil
    equal client.incr('incr', 1, 0, 10), 10
    equal client.incr('incr'), 11
    equal client.incr('incr', 5), 16
    client.set('incr-wrap', '18446744073709551615', 0, raw: true)
    equal client.incr('incr-wrap'), 0
    client.set('incr-word', 'no number', 0, raw: true)
    begin
      client.incr('incr-word')
      raise 'no error'
    rescue Dalli::DalliError => e
      equal e.message, 'Response error 6: Incr/decr on a non-numeric value'
    end
  end,
  'decr' => lambda do |client|
    equal client.decr('decr'), nil
    equal client.decr('decr', 1, 0, 10), 10
    equal client.decr('decr', 3), 7
    equal client.decr('decr', 100), 0
  end,
  'quiet writes' => lambda do |client|
    client.multi do
      200.times { |index| client.set("quiet-#{index}", index) }
      client.delete('quiet-0')
      client.add('quiet-added', 'x')
      client.replace('quiet-1', 'replaced')
      client.incr('quiet-counter', 1, 0, 7)
    end
    equal client.get('quiet-0'), nil
    equal client.get('quiet-1'), 'replaced'
    equal client.get('quiet-added'), 'x'
    equal client.get('quiet-199'), 199
    equal client.get('quiet-counter', raw: true), '7'
  end,
  'stats' => lambda do |client|
    client.set('stats', 'x')
    stats = client.stats.values.first
    equal stats['limit_maxbytes'], (64 * 1024 * 1024).to_s
    %w[pid version curr_items cmd_set threads].each { |name| equal stats[name].to_f.positive?, true }
    equal client.stats(:settings).values.first.key?('maxbytes'), true
    %i[items slabs].each { |group| equal client.stats(group).values.first.is_a?(Hash), true }
  end,
  'reset_stats' => lambda do |client|
    client.get('reset')
    equal client.stats.values.first['cmd_get'].to_i.positive?, true
    client.reset_stats
    equal client.stats.values.first['cmd_get'], '0'
  end,
  'version' => lambda do |client|
    equal client.version.values.first.match?(/\A\d+\.\d+\.\d+/), true
  end,
  'alive!' => ->(client) { client.alive! },
  'large values' => lambda do |client|
    client.set('large', LARGE)
    equal client.get('large') == LARGE, true
    4.times { |index| client.set("large-#{index}", LARGE) }
    equal client.get_multi(*(0...4).map { |index| "large-#{index}" }).values.uniq == [LARGE], true
  end,
  'a value too large' => lambda do |client|
    huge = connect(value_max_bytes: 4 * 1024 * 1024)
    huge.set('too-large', 'old')
    begin
      huge.set('too-large', 'x' * (1024 * 1024))
      raise 'no error'
    rescue Dalli::DalliError => e
      equal e.message, 'Response error 3: Value too large'
    end
    equal client.get('too-large'), nil
    equal huge.set('too-large', 'new').positive?, true
  end,
  'compressed values' => lambda do |_|
    compressing = connect(compress: true)
    compressing.set('compressed', LARGE)
    equal compressing.get('compressed') == LARGE, true
  end,
  'long and non-ASCII keys' => lambda do |client|
    ['k', 'k' * 250, 'ключ', 'a:b/c?d'].each do |key|
      client.set(key, key)
      equal client.get(key).force_encoding('UTF-8'), key
    end
  end,
  'namespaced keys' => lambda do |client|
    connect(namespace: 'tenant').set('key', 'x')
    equal client.get('tenant:key'), 'x'
  end,
  'a new connection' => lambda do |client|
    client.set('reconnect', 'kept')
    client.close
    equal client.get('reconnect'), 'kept'
  end,
  'flush' => lambda do |client|
    client.set('flush', 'x')
    equal client.flush, [true]
    equal client.get('flush'), nil
  end
}.freeze

if ARGV.last == 'login'
  login
else
  client = connect
  CHECKS.each do |name, check|
    check.call(client)
    puts "ok - #{name}"
  rescue StandardError => e
    puts "not ok - #{name}: #{e.class} #{e.message.tr("\n", ' ')}"
  end
end
