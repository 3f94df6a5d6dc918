# Drives Cache::Memcached, Perl's client in Perl, through everything that it can do over the text
# dialect.
#
# The contract with the test is in test/support/client-suite.ts. The library cannot log in and has
# no hook where it connects; all its objects share one connection a server, on which the first thing
# sent is the set that logs in. stats_reset is left out: it sends no line end, so no server answers.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../../../support";
use Cache::Memcached;
use ClientChecks;

sub client {
    return Cache::Memcached->new({
        servers => [ADDRESS],
        connect_timeout => PATIENCE_SECONDS,
        select_timeout => PATIENCE_SECONDS,
        compress_threshold => 10_000,
        enable_compress => 0,
        @_,
    });
}

# Its methods have one word for a miss and a refusal, so this takes the lines as they came.
sub refusal_of_stranger {
    my ($client) = @_;
    my ($answer) = $client->run_command($client->sock_to_host(ADDRESS), "get missing\r\n");
    return undef if $answer eq "END\r\n";
    $answer =~ s/\r\n//;
    return $answer;
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
        equal($client->decr('number', 100), 0);
        $client->set('word', 'abc');
        equal(defined $client->incr('word') ? 'defined' : 'undef', 'undef');
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
    'a value too large' => sub {
        my ($client) = @_;
        my $result = $client->set('too-large', 'x' x 2_000_000);
        die "it was stored\n" if $result;
        equal($client->get('get'), 'value');
    },
    'prefixed keys' => sub {
        my ($client) = @_;
        my $prefixed = client(namespace => 'tenant:');
        equal($prefixed->set('key', 'x'), 1);
        equal($client->get('tenant:key'), 'x');
    },
    'stats' => sub {
        my ($client) = @_;
        $client->set('stats', 'x');
        my $stats = $client->stats('misc')->{hosts}{+ADDRESS}{misc};
        equal($stats->{limit_maxbytes}, 64 * 1024 * 1024);
        equal($stats->{$_} > 0, 1) for qw(pid curr_items cmd_set threads);
        my $slabs = $client->stats('slabs')->{hosts}{+ADDRESS}{slabs};
        die "no slabs: $slabs\n" unless $slabs =~ /^STAT active_slabs \d+/m;
    },
    'a new connection' => sub {
        my ($client) = @_;
        $client->set('reconnect', 'kept');
        $client->disconnect_all;
        equal($client->set('login', CREDENTIALS), 1);
        equal($client->get('reconnect'), 'kept');
    },
    'flush_all' => sub {
        my ($client) = @_;
        $client->set('flush', 'x');
        equal($client->flush_all, 1);
        equal($client->get('flush'), undef);
    },
);

run(
    connect => \&client,
    log_in => sub { $_[0]->set('login', CREDENTIALS) },
    refusal_of_stranger => \&refusal_of_stranger,
    checks => \@checks,
);
