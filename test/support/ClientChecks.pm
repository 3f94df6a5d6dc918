# What the client programs in Perl share: how a check fails, and the modes that
# test/support/client-suite.ts asks for. It leaves to the programs which client it is, how it logs
# in, and how it tells a refusal from a miss.
package ClientChecks;
use strict;
use warnings;
use Exporter 'import';
use Time::HiRes qw(sleep time);

our @EXPORT = qw(ADDRESS CREDENTIALS PATIENCE_SECONDS LARGE ALL_BYTES equal gone_within run);

use constant ADDRESS => "$ENV{CLIENT_HOST}:$ENV{CLIENT_PORT}";
# The value of the set that logs in.
use constant CREDENTIALS => "$ENV{CLIENT_USER} $ENV{CLIENT_PASSWORD}";
use constant PATIENCE_SECONDS => $ENV{CLIENT_PATIENCE_MS} / 1000;
use constant LARGE => '0123456789abcdef' x 62500;
use constant ALL_BYTES => join('', map { chr } 0 .. 255) . "\r\nEND\r\nVALUE x 0 1\r\n";

sub equal {
    my ($seen, $expected) = @_;
    $_ = defined $_ ? $_ : '(undef)' for $seen, $expected;
    die 'expected ' . substr($expected, 0, 100) . ', saw ' . substr($seen, 0, 100) . "\n"
        unless $seen eq $expected;
}

sub gone_within {
    my ($client, $key, $seconds) = @_;
    my $deadline = time + $seconds;
    while (defined $client->get($key)) {
        die "the item did not expire\n" if time > $deadline;
        sleep 0.05;
    }
}

# run(connect => sub, log_in => sub, refusal_of_stranger => sub, checks => [name => sub, ...])
sub run {
    my %program = @_;
    my $mode = $ARGV[-1];
    $| = 1;
    my $client = $program{connect}->();
    if ($mode eq 'stranger') {
        my $refusal = $program{refusal_of_stranger}->($client);
        print defined $refusal ? "refused: $refusal\n" : "accepted\n";
        return;
    }
    if (!$program{log_in}->($client)) {
        print "refused: the set that logs in was not stored\n";
        return;
    }
    if ($mode eq 'login') {
        # Read back, because a read alone would be a miss either way.
        my $is_in = $client->set('in', 'x') && $client->get('in') eq 'x';
        print $is_in ? "accepted\n" : "refused: what was set did not come back\n";
        return;
    }
    my @checks = @{$program{checks}};
    while (my ($name, $check) = splice(@checks, 0, 2)) {
        if (eval { $check->($client); 1 }) {
            print "ok - $name\n";
        } else {
            my $why = $@;
            $why =~ s/\s+/ /g;
            print "not ok - $name: $why\n";
        }
    }
}

1;
