# Drives Cache::Memcached::Fast through everything that it can do over the text dialect.
#
# Prints one line an operation, as the other clients of test/support/client-suite.ts do.
use strict;
use warnings;
use Cache::Memcached::Fast;

$| = 1;
my $client = Cache::Memcached::Fast->new({
    servers => ["$ENV{CLIENT_HOST}:$ENV{CLIENT_PORT}"],
    connect_timeout => 5,
    io_timeout => 10,
    utf8 => 0,
});
my $large = '0123456789abcdef' x 62500;

sub equal {
    my ($seen, $expected) = @_;
    $_ = defined $_ ? $_ : '(undef)' for $seen, $expected;
    die 'expected ' . substr($expected, 0, 100) . ', saw ' . substr($seen, 0, 100) . "\n"
        unless $seen eq $expected;
}

my @checks = (
    'get' => sub {
        equal($client->get('get-missing'), undef);
        $client->set('get', 'value');
        equal($client->get('get'), 'value');
    },
    'get_multi' => sub {
        $client->set("multi-$_", "value $_") for 0 .. 999;
        my $found = $client->get_multi(map { "multi-$_" } 0 .. 1099);
        equal(scalar(keys %$found), 1000);
        equal($found->{'multi-999'}, 'value 999');
    },
    'set_multi' => sub {
        my @results = $client->set_multi(['many-1', 'a'], ['many-2', 'b', 100]);
        equal("@results", '1 1');
        equal($client->get('many-2'), 'b');
    },
    'gets and cas' => sub {
        $client->set('cas', 'one');
        my ($unique, $value) = @{$client->gets('cas')};
        equal($value, 'one');
        equal($client->cas('cas', $unique, 'two'), 1);
        equal($client->cas('cas', $unique, 'three'), '');
        equal($client->get('cas'), 'two');
    },
    'gat' => sub {
        $client->set('gat', 'value');
        equal($client->gat(100, 'gat'), 'value');
        equal($client->gat(100, 'gat-missing'), undef);
    },
    'add' => sub {
        equal($client->add('add', 'one'), 1);
        equal($client->add('add', 'two'), '');
        equal($client->get('add'), 'one');
    },
    'replace' => sub {
        equal($client->replace('replace', 'one'), '');
        $client->set('replace', 'one');
        equal($client->replace('replace', 'two'), 1);
        equal($client->get('replace'), 'two');
    },
    'append and prepend' => sub {
        equal($client->append('extend', '-end'), '');
        $client->set('extend', 'middle');
        equal($client->append('extend', '-end'), 1);
        equal($client->prepend('extend', 'start-'), 1);
        equal($client->get('extend'), 'start-middle-end');
    },
    'delete' => sub {
        $client->set('delete', 'value');
        equal($client->delete('delete'), 1);
        equal($client->delete('delete'), '');
    },
    'incr and decr' => sub {
        $client->set('number', 10);
        equal($client->incr('number', 5), 15);
        equal($client->decr('number', 100), '0E0');
        $client->set('word', 'abc');
        equal(defined $client->incr('word') ? 'defined' : 'undef', 'undef');
    },
    'touch' => sub {
        equal($client->touch('touch', 100), '');
        $client->set('touch', 'value');
        equal($client->touch('touch', 100), 1);
    },
    'references and large values' => sub {
        $client->set('reference', { list => [1, 2, 3] });
        equal($client->get('reference')->{list}[2], 3);
        equal($client->set('large', $large), 1);
        equal($client->get('large'), $large);
    },
    'a value too large' => sub {
        my $result = $client->set('too-large', 'x' x 2_000_000);
        die "it was stored\n" if $result;
        equal($client->get('get'), 'value');
    },
    'quiet writes' => sub {
        $client->set("quiet-$_", $_) for 0 .. 99;
        $client->nowait_push;
        equal($client->get('quiet-99'), 99);
    },
    'server_versions' => sub {
        my ($version) = values %{$client->server_versions};
        die "no version: $version\n" unless $version =~ /^\d+\.\d+\.\d+/;
    },
    'flush_all' => sub {
        my ($result) = values %{$client->flush_all};
        equal($result, 1);
    },
);

while (my ($name, $check) = splice(@checks, 0, 2)) {
    if (eval { $check->(); 1 }) {
        print "ok - $name\n";
    } else {
        my $why = $@;
        $why =~ s/\s+/ /g;
        print "not ok - $name: $why\n";
    }
}
