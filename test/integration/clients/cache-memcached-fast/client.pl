# Drives Cache::Memcached::Fast through everything that it can do over the text dialect.
#
# The contract with the test is in test/support/client-suite.ts. The library cannot log in and has
# no hook where it connects; it keeps one connection, on which the first thing sent is the set that
# logs in.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../../../support";
use Cache::Memcached::Fast;
use ClientChecks;

sub client {
    return Cache::Memcached::Fast->new({
        servers => [ADDRESS],
        connect_timeout => PATIENCE_SECONDS,
        io_timeout => PATIENCE_SECONDS,
        compress_threshold => 10_000,
        # Else it keeps back itself what is too large.
        max_size => 8_000_000,
        utf8 => 0,
    });
}

# It has one word for a miss and another for what is neither a hit nor a miss.
sub refusal_of_stranger {
    my ($client) = @_;
    my $deleted = $client->delete('missing');
    return 'delete failed' if !defined $deleted;
    return undef;
}

my @checks = (
    'get' => sub {
        my ($client) = @_;
        equal($client->get('get-missing'), undef);
        $client->set('get', 'value');
        equal($client->get('get'), 'value');
    },
    'get_multi' => sub {
        my ($client) = @_;
        $client->set("multi-$_", "value $_") for 0 .. 999;
        my $found = $client->get_multi(map { "multi-$_" } 0 .. 1099);
        equal(scalar(keys %$found), 1000);
        equal($found->{'multi-999'}, 'value 999');
    },
    'set_multi' => sub {
        my ($client) = @_;
        my @results = $client->set_multi(['many-1', 'a'], ['many-2', 'b', 100]);
        equal("@results", '1 1');
        equal($client->get('many-2'), 'b');
    },
    'gets and cas' => sub {
        my ($client) = @_;
        $client->set('cas', 'one');
        my ($unique, $value) = @{$client->gets('cas')};
        equal($value, 'one');
        equal($client->cas('cas', $unique, 'two'), 1);
        equal($client->cas('cas', $unique, 'three'), '');
        equal($client->get('cas'), 'two');
    },
    'gat' => sub {
        my ($client) = @_;
        $client->set('gat', 'value');
        equal($client->gat(100, 'gat'), 'value');
        equal($client->gat(100, 'gat-missing'), undef);
    },
    'set with expiry' => sub {
        my ($client) = @_;
        equal($client->set('expired', 'x', -1), 1);
        equal($client->get('expired'), undef);
        equal($client->set('expiry', 'long', 100), 1);
        equal($client->get('expiry'), 'long');
        equal($client->set('expiry', 'short', 1), 1);
        gone_within($client, 'expiry', 10);
    },
    'add' => sub {
        my ($client) = @_;
        equal($client->add('add', 'one'), 1);
        equal($client->add('add', 'two'), '');
        equal($client->get('add'), 'one');
    },
    'replace' => sub {
        my ($client) = @_;
        equal($client->replace('replace', 'one'), '');
        $client->set('replace', 'one');
        equal($client->replace('replace', 'two'), 1);
        equal($client->get('replace'), 'two');
    },
    'append and prepend' => sub {
        my ($client) = @_;
        equal($client->append('extend', '-end'), '');
        $client->set('extend', 'middle');
        equal($client->append('extend', '-end'), 1);
        equal($client->prepend('extend', 'start-'), 1);
        equal($client->get('extend'), 'start-middle-end');
    },
    'delete' => sub {
        my ($client) = @_;
        $client->set('delete', 'value');
        equal($client->delete('delete'), 1);
        equal($client->delete('delete'), '');
    },
    'incr and decr' => sub {
        my ($client) = @_;
        $client->set('number', 10);
        equal($client->incr('number', 5), 15);
        equal($client->decr('number', 100), '0E0');
    },
    'touch' => sub {
        my ($client) = @_;
        equal($client->touch('touch', 100), '');
        $client->set('touch', 'value');
        equal($client->touch('touch', 100), 1);
        equal($client->get('touch'), 'value');
        equal($client->touch('touch', -1), 1);
        equal($client->get('touch'), undef);
    },
    'references and large values' => sub {
        my ($client) = @_;
        $client->set('reference', { list => [1, 2, 3] });
        equal($client->get('reference')->{list}[2], 3);
        equal($client->set('large', LARGE), 1);
        equal($client->get('large'), LARGE);
    },
    'binary values' => sub {
        my ($client) = @_;
        equal($client->set('binary', ALL_BYTES), 1);
        equal($client->get('binary'), ALL_BYTES);
    },
    'compressed values' => sub {
        my ($client) = @_;
        $client->enable_compress(1);
        equal($client->set('compressed', LARGE), 1);
        $client->enable_compress(0);
        equal($client->get('compressed'), LARGE);
    },
    'long and odd keys' => sub {
        my ($client) = @_;
        for my $key ('k', 'k' x 250, 'ключ', 'a:b/c?d', "~^\x01\x7f") {
            equal($client->set($key, $key), 1);
            equal($client->get($key), $key);
        }
    },
    'prefixed keys' => sub {
        my ($client) = @_;
        $client->namespace('tenant:');
        equal($client->set('key', 'x'), 1);
        $client->namespace('');
        equal($client->get('tenant:key'), 'x');
    },
    'quiet writes' => sub {
        my ($client) = @_;
        $client->set("quiet-$_", $_) for 0 .. 99;
        $client->nowait_push;
        equal($client->get('quiet-99'), 99);
    },
    'server_versions' => sub {
        my ($client) = @_;
        my ($version) = values %{$client->server_versions};
        die "no version: $version\n" unless $version =~ /^\d+\.\d+\.\d+/;
    },
    'flush_all' => sub {
        my ($client) = @_;
        my ($result) = values %{$client->flush_all};
        equal($result, 1);
    },
    # Last: on an answer that begins CLIENT_ERROR or SERVER_ERROR the library drops the connection, and
    # the next one has to log in again.
    'incr of a word' => sub {
        my ($client) = @_;
        $client->set('word', 'abc');
        equal(scalar $client->incr('word'), undef);
        equal($client->set('login', CREDENTIALS), 1);
        equal($client->get('word'), 'abc');
    },
    'a value too large' => sub {
        my ($client) = @_;
        $client->set('too-large', 'old');
        equal(scalar $client->set('too-large', ALL_BYTES x 10_000), undef);
        equal($client->set('login', CREDENTIALS), 1);
        equal(scalar $client->get('too-large'), undef);
        equal($client->set('too-large', 'new'), 1);
    },
);

run(
    connect => \&client,
    log_in => sub { $_[0]->set('login', CREDENTIALS) },
    refusal_of_stranger => \&refusal_of_stranger,
    checks => \@checks,
);
