<?php
/**
 * Drives php-memcache (PECL memcache) through everything that it can do over the binary dialect.
 * It sends its first command right behind SASL AUTH, in the same write.
 *
 * The contract with the test is in test/support/client-suite.ts.
 */
declare(strict_types=1);

/** What the extension complained of, in order: it reports refusals as notices. */
$notices = [];
set_error_handler(static function (int $level, string $message): bool {
    $GLOBALS['notices'][] = $message;
    return true;
});

ini_set('memcache.protocol', 'binary');
ini_set('memcache.compress_threshold', '10000000');

function connect(): Memcache
{
    $client = new Memcache();
    $client->setSaslAuthData(getenv('CLIENT_USER'), getenv('CLIENT_PASSWORD'));
    // Persistent connections off: a page view has a connection of its own.
    $patienceSeconds = (int) ceil((int) getenv('CLIENT_PATIENCE_MS') / 1000);
    $port = (int) getenv('CLIENT_PORT');
    $client->addServer(getenv('CLIENT_HOST'), $port, false, 1, $patienceSeconds);
    return $client;
}

function login(): void
{
    global $notices;
    $client = connect();
    $stored = $client->set('login', 'x', 0, 10);
    echo $stored && $client->get('login') === 'x'
        ? "accepted\n"
        : 'refused: ' . str_replace("\n", ' ', implode('; ', $notices)) . "\n";
}

function equal(mixed $seen, mixed $expected): void
{
    if ($seen !== $expected) {
        $text = 'expected ' . var_export($expected, true) . ', saw ' . var_export($seen, true)
            . ' after ' . implode('; ', $GLOBALS['notices']);
        throw new RuntimeException(substr(str_replace("\n", ' ', $text), 0, 500));
    }
}

function goneWithin(Memcache $client, string $key, float $seconds): void
{
    $deadline = microtime(true) + $seconds;
    while ($client->get($key) !== false) {
        if (microtime(true) > $deadline) {
            throw new RuntimeException('the item did not expire');
        }
        usleep(50_000);
    }
}

$large = str_repeat('0123456789abcdef', 62_500);

$checks = [
    'get' => function (Memcache $client): void {
        equal($client->get('get-missing'), false);
        equal($client->set('get', 'wörd'), true);
        equal($client->get('get'), 'wörd');
    },
    'get of every type' => function (Memcache $client): void {
        foreach (['text', "\0\xff", 42, -1, 1.5, true, ['a' => [1, 2]], ''] as $value) {
            equal($client->set('type', $value), true);
            equal($client->get('type'), $value);
        }
    },
    'get of many keys' => function (Memcache $client): void {
        $expected = [];
        for ($index = 0; $index < 100; $index++) {
            $expected["multi-$index"] = "value $index";
            equal($client->set("multi-$index", "value $index"), true);
        }
        $seen = $client->get(array_merge(array_keys($expected), ['multi-missing']));
        ksort($seen);
        ksort($expected);
        equal($seen, $expected);
    },
    'set' => function (Memcache $client): void {
        equal($client->set('set', 'one'), true);
        equal($client->set('set', 'two'), true);
        equal($client->get('set'), 'two');
    },
    'set of many keys' => function (Memcache $client): void {
        equal($client->set(['many-1' => 'one', 'many-2' => 'two'], null, 0, 60), true);
        equal($client->get('many-2'), 'two');
    },
    'set with expiry' => function (Memcache $client): void {
        equal($client->set('expiry', 'long', 0, 100), true);
        equal($client->get('expiry'), 'long');
        equal($client->set('expiry', 'short', 0, 1), true);
        goneWithin($client, 'expiry', 10);
    },
    'user flags' => function (Memcache $client): void {
        equal($client->set('flags', 'x', 0x10000), true);
        $flags = 0;
        equal($client->get('flags', $flags), 'x');
        equal($flags, 0x10000);
    },
    'add' => function (Memcache $client): void {
        equal($client->add('add', 'first'), true);
        equal($client->add('add', 'second'), false);
        equal($client->get('add'), 'first');
    },
    'replace' => function (Memcache $client): void {
        $client->set('replace', 'old');
        equal($client->replace('replace', 'new'), true);
        equal($client->get('replace'), 'new');
    },
    'append' => function (Memcache $client): void {
        $client->set('append', 'left');
        equal($client->append('append', '-right'), true);
        equal($client->get('append'), 'left-right');
    },
    'prepend' => function (Memcache $client): void {
        $client->set('prepend', 'right');
        equal($client->prepend('prepend', 'left-'), true);
        equal($client->get('prepend'), 'left-right');
    },
    'cas' => function (Memcache $client): void {
        $client->set('cas', 'one');
        $flags = $cas = 0;
        equal($client->get('cas', $flags, $cas), 'one');
        equal($cas > 0, true);
        equal($client->cas('cas', 'two', 0, 0, $cas), true);
        equal($client->cas('cas', 'three', 0, 0, $cas), false);
        equal($client->get('cas'), 'two');
    },
    'delete' => function (Memcache $client): void {
        $client->set('delete', 'x');
        equal($client->delete('delete'), true);
        equal($client->get('delete'), false);
    },
    'increment' => function (Memcache $client): void {
        $client->set('increment', 10);
        equal($client->increment('increment'), 11);
        equal($client->increment('increment', 5), 16);
        equal($client->increment('increment-made', 1, 7), 7);
    },
    'decrement' => function (Memcache $client): void {
        $client->set('decrement', 10);
        equal($client->decrement('decrement', 3), 7);
        equal($client->decrement('decrement', 100), 0);
    },
    'version' => function (Memcache $client): void {
        equal(preg_match('/^\d+\.\d+\.\d+/', (string) $client->getVersion()), 1);
    },
    'large values' => function (Memcache $client) use ($large): void {
        equal($client->set('large', $large), true);
        equal($client->get('large') === $large, true);
    },
    'a value too large' => function (Memcache $client): void {
        $client->set('too-large', 'old');
        equal($client->set('too-large', str_repeat('x', 1024 * 1024)), false);
        // php-memcache takes the error for a dead server; a page that starts then finds it alive.
        equal(connect()->get('too-large'), false);
        equal(connect()->set('too-large', 'new'), true);
    },
    'compressed values' => function (Memcache $client) use ($large): void {
        equal($client->set('compressed', $large . $large, MEMCACHE_COMPRESSED), true);
        equal($client->get('compressed') === $large . $large, true);
    },
    'long and non-ASCII keys' => function (Memcache $client): void {
        foreach (['k', str_repeat('k', 250), 'ключ', 'a:b/c?d'] as $key) {
            equal($client->set($key, $key), true);
            equal($client->get($key), $key);
        }
    },
    'a new connection' => function (Memcache $client): void {
        $client->set('reconnect', 'kept');
        equal($client->close(), true);
        equal(connect()->get('reconnect'), 'kept');
    },
    'a connection for each page' => function (Memcache $client): void {
        connect()->set('page', 'x');
        for ($index = 0; $index < 20; $index++) {
            equal(connect()->get('page'), 'x');
        }
    },
    'flush' => function (Memcache $client): void {
        $client->set('flush', 'x');
        equal($client->flush(), true);
        equal($client->get('flush'), false);
    },
];

if (end($argv) === 'login') {
    login();
    exit(0);
}
foreach ($checks as $name => $check) {
    $notices = [];
    try {
        $check(connect());
        echo "ok - $name\n";
    } catch (Throwable $error) {
        echo "not ok - $name: ", get_class($error), ' ', $error->getMessage(), "\n";
    }
}
