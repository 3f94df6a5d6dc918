<?php
/**
 * Drives php-memcached through everything that it can do, over the dialect that is the last argument
 * but one: `binary`, where it logs in by SASL, or `text`, where the first thing sent on a connection
 * is the set that logs in, because libmemcached has no login of its own there.
 *
 * The contract with the test is in test/support/client-suite.ts.
 */
declare(strict_types=1);

set_error_handler(static function (int $level, string $message): bool {
    throw new RuntimeException($message);
});

const RESULT_OK = Memcached::RES_SUCCESS;

[$dialect, $mode] = array_slice($argv, -2);
define('IS_TEXT', $dialect === 'text');

/** @param array<int, mixed> $options */
function unknown(array $options = []): Memcached
{
    $client = new Memcached();
    $client->setOptions($options + [
        Memcached::OPT_BINARY_PROTOCOL => !IS_TEXT,
        Memcached::OPT_TCP_NODELAY => true,
        Memcached::OPT_COMPRESSION => false,
    ]);
    if (!IS_TEXT) {
        $client->setSaslAuthData(getenv('CLIENT_USER'), getenv('CLIENT_PASSWORD'));
    }
    $client->addServer(getenv('CLIENT_HOST'), (int) getenv('CLIENT_PORT'));
    return $client;
}

/** @param array<int, mixed> $options */
function connect(array $options = []): Memcached
{
    return loggedIn(unknown($options));
}

/** Needed in text on each new connection; nothing in binary. */
function loggedIn(Memcached $client): Memcached
{
    if (IS_TEXT) {
        $client->set('login', getenv('CLIENT_USER') . ' ' . getenv('CLIENT_PASSWORD'));
    }
    return $client;
}

function login(): void
{
    tell(connect());
}

function stranger(): void
{
    tell(unknown());
}

function tell(Memcached $client): void
{
    // Not get, for which libmemcached makes a miss of every refusal over text.
    $client->delete('missing');
    echo $client->getResultCode() === Memcached::RES_NOTFOUND
        ? "accepted\n"
        : "refused: {$client->getResultMessage()}\n";
}

function equal(mixed $seen, mixed $expected): void
{
    if ($seen !== $expected) {
        $text = 'expected ' . var_export($expected, true) . ', saw ' . var_export($seen, true);
        throw new RuntimeException(substr(str_replace("\n", ' ', $text), 0, 500));
    }
}

function result(Memcached $client, int $code): void
{
    equal($client->getResultMessage(), messageOf($code));
}

function messageOf(int $code): string
{
    return match ($code) {
        Memcached::RES_SUCCESS => 'SUCCESS',
        Memcached::RES_NOTFOUND => 'NOT FOUND',
        Memcached::RES_NOTSTORED => 'NOT STORED',
        Memcached::RES_DATA_EXISTS => 'CONNECTION DATA EXISTS',
        Memcached::RES_E2BIG => 'ITEM TOO BIG',
    };
}

function goneWithin(Memcached $client, string $key, float $seconds): void
{
    $deadline = microtime(true) + $seconds;
    while ($client->get($key) !== false) {
        if (microtime(true) > $deadline) {
            throw new RuntimeException('the item did not expire');
        }
        usleep(50_000);
    }
}

function thereWithin(Memcached $client, string $key, float $seconds): void
{
    $deadline = microtime(true) + $seconds;
    while ($client->get($key) === false) {
        if (microtime(true) > $deadline) {
            throw new RuntimeException('the item did not come');
        }
        usleep(10_000);
    }
}

/** Makes a counter of 10: only binary can do so with the command that counts. */
function begin(Memcached $client, string $counter): void
{
    equal(IS_TEXT ? $client->set($counter, '10') : $client->increment($counter, 1, 10), IS_TEXT ?: 10);
}

$large = str_repeat('0123456789abcdef', 62_500);

$checks = [
    'get' => function (Memcached $client): void {
        equal($client->get('get-missing'), false);
        result($client, Memcached::RES_NOTFOUND);
        equal($client->set('get', 'wörd'), true);
        equal($client->get('get'), 'wörd');
    },
    'get of every type' => function (Memcached $client): void {
        foreach (['text', "\0\xff", 42, -1, 1.5, true, false, null, ['a' => [1, 2]], ''] as $value) {
            equal($client->set('type', $value), true);
            equal($client->get('type'), $value);
            result($client, RESULT_OK);
        }
    },
    'get with a callback' => function (Memcached $client): void {
        $fill = function (Memcached $client, string $key, mixed &$value): bool {
            $value = "made for $key";
            return true;
        };
        equal($client->get('read-through', $fill), 'made for read-through');
        equal($client->get('read-through'), 'made for read-through');
    },
    'getMulti and setMulti' => function (Memcached $client): void {
        $expected = [];
        for ($index = 0; $index < 100; $index++) {
            $expected["multi-$index"] = "value $index";
        }
        equal($client->setMulti($expected), true);
        $keys = array_merge(array_keys($expected), ['multi-missing']);
        $seen = $client->getMulti($keys, Memcached::GET_PRESERVE_ORDER);
        equal($seen, $expected + ['multi-missing' => null]);
    },
    'getDelayed and fetch' => function (Memcached $client): void {
        $client->setMulti(['delayed-1' => 'one', 'delayed-2' => 'two']);
        equal($client->getDelayed(['delayed-1', 'delayed-2', 'delayed-missing'], true), true);
        $seen = [];
        while ($item = $client->fetch()) {
            equal($item['cas'] > 0, true);
            $seen[$item['key']] = $item['value'];
        }
        ksort($seen);
        equal($seen, ['delayed-1' => 'one', 'delayed-2' => 'two']);
        equal($client->getDelayed(['delayed-1']), true);
        equal(count($client->fetchAll()), 1);
    },
    'set' => function (Memcached $client): void {
        equal($client->set('set', 'one'), true);
        equal($client->set('set', 'two'), true);
        equal($client->get('set'), 'two');
    },
    'set with expiry' => function (Memcached $client): void {
        equal($client->set('expiry', 'long', 100), true);
        equal($client->get('expiry'), 'long');
        equal($client->set('expiry-absolute', 'past', time() - 10), true);
        equal($client->get('expiry-absolute'), false);
        equal($client->set('expiry-absolute', 'future', time() + 3600), true);
        equal($client->get('expiry-absolute'), 'future');
        equal($client->set('expiry', 'short', 1), true);
        goneWithin($client, 'expiry', 10);
    },
    'user flags' => function (Memcached $client): void {
        $client->setOption(Memcached::OPT_USER_FLAGS, 0xabc);
        equal($client->set('flags', 'x'), true);
        $client->setOption(Memcached::OPT_USER_FLAGS, -1);
        equal($client->get('flags', null, Memcached::GET_EXTENDED)['flags'], 0xabc);
    },
    'add' => function (Memcached $client): void {
        equal($client->add('add', 'first'), true);
        equal($client->add('add', 'second'), false);
        result($client, IS_TEXT ? Memcached::RES_NOTSTORED : Memcached::RES_DATA_EXISTS);
        equal($client->get('add'), 'first');
    },
    'replace' => function (Memcached $client): void {
        equal($client->replace('replace', 'none'), false);
        result($client, IS_TEXT ? Memcached::RES_NOTSTORED : Memcached::RES_NOTFOUND);
        $client->set('replace', 'old');
        equal($client->replace('replace', 'new'), true);
        equal($client->get('replace'), 'new');
    },
    'append' => function (Memcached $client): void {
        equal($client->append('append-missing', 'x'), false);
        result($client, Memcached::RES_NOTSTORED);
        $client->set('append', 'left');
        equal($client->append('append', '-right'), true);
        equal($client->get('append'), 'left-right');
    },
    'prepend' => function (Memcached $client): void {
        equal($client->prepend('prepend-missing', 'x'), false);
        $client->set('prepend', 'right');
        equal($client->prepend('prepend', 'left-'), true);
        equal($client->get('prepend'), 'left-right');
    },
    'cas' => function (Memcached $client): void {
        $client->set('cas', 'one');
        $cas = $client->get('cas', null, Memcached::GET_EXTENDED)['cas'];
        equal($client->cas($cas, 'cas', 'two'), true);
        equal($client->cas($cas, 'cas', 'three'), false);
        result($client, Memcached::RES_DATA_EXISTS);
        equal($client->get('cas'), 'two');
        equal($client->cas($cas, 'cas-missing', 'x'), false);
        result($client, Memcached::RES_NOTFOUND);
    },
    'delete and deleteMulti' => function (Memcached $client): void {
        equal($client->delete('delete'), false);
        result($client, Memcached::RES_NOTFOUND);
        $client->setMulti(['delete' => 'x', 'delete-2' => 'y']);
        equal($client->delete('delete'), true);
        equal($client->get('delete'), false);
        equal($client->deleteMulti(['delete-2', 'delete-3']), [
            'delete-2' => true,
            'delete-3' => Memcached::RES_NOTFOUND,
        ]);
    },
    'increment' => function (Memcached $client): void {
        begin($client, 'increment');
        equal($client->increment('increment'), 11);
        equal($client->increment('increment', 5), 16);
        equal($client->get('increment'), '16');
        $client->set('increment-word', 'no number');
        equal($client->increment('increment-word'), false);
    },
    'decrement' => function (Memcached $client): void {
        begin($client, 'decrement');
        equal($client->decrement('decrement', 3), 7);
        equal($client->decrement('decrement', 100), 0);
    },
    'touch' => function (Memcached $client): void {
        equal($client->touch('touch', 100), false);
        result($client, Memcached::RES_NOTFOUND);
        $client->set('touch', 'x');
        equal($client->touch('touch', 100), true);
        equal($client->get('touch'), 'x');
        equal($client->touch('touch', time() - 10), true);
        equal($client->get('touch'), false);
    },
    'commands by server key' => function (Memcached $client): void {
        equal($client->setByKey('master', 'by-key', 'one'), true);
        equal($client->addByKey('master', 'by-key', 'two'), false);
        equal($client->appendByKey('master', 'by-key', '!'), true);
        equal($client->prependByKey('master', 'by-key', '!'), true);
        equal($client->getByKey('master', 'by-key'), '!one!');
        $cas = $client->getByKey('master', 'by-key', null, Memcached::GET_EXTENDED)['cas'];
        equal($client->casByKey($cas, 'master', 'by-key', 'two'), true);
        equal($client->replaceByKey('master', 'by-key', '3'), true);
        equal($client->incrementByKey('master', 'by-key', 4), 7);
        equal($client->decrementByKey('master', 'by-key', 2), 5);
        equal($client->touchByKey('master', 'by-key', 100), true);
        equal($client->getMultiByKey('master', ['by-key']), ['by-key' => '5']);
        equal($client->deleteByKey('master', 'by-key'), true);
    },
    'stats' => function (Memcached $client): void {
        $client->set('stats', 'x');
        $address = getenv('CLIENT_HOST') . ':' . getenv('CLIENT_PORT');
        $stats = $client->getStats()[$address];
        equal((int) $stats['limit_maxbytes'], 64 * 1024 * 1024);
        equal($stats['pid'] > 0 && $stats['curr_items'] > 0 && $stats['cmd_set'] > 0, true);
        equal(isset($client->getStats('settings')[$address]['maxbytes']), true);
        equal($client->getStats('items') !== false, true);
        equal($client->getStats('slabs') !== false, true);
    },
    'version' => function (Memcached $client): void {
        $version = current($client->getVersion());
        equal(preg_match('/^\d+\.\d+\.\d+/', $version), 1);
    },
    'large values' => function (Memcached $client) use ($large): void {
        equal($client->set('large', $large), true);
        equal($client->get('large') === $large, true);
        $many = ['large-1' => $large, 'large-2' => $large, 'large-3' => $large];
        equal($client->setMulti($many), true);
        equal($client->getMulti(array_keys($many)) === $many, true);
    },
    'a value too large' => function (Memcached $client): void {
        $client->set('too-large', 'old');
        equal($client->set('too-large', str_repeat('x', 1024 * 1024)), false);
        result($client, Memcached::RES_E2BIG);
        equal($client->get('too-large'), false);
        equal($client->set('too-large', 'new'), true);
    },
    'compressed values' => function (Memcached $client) use ($large): void {
        $client->setOption(Memcached::OPT_COMPRESSION, true);
        equal($client->set('compressed', $large . $large), true);
        equal($client->get('compressed') === $large . $large, true);
        $client->setOption(Memcached::OPT_COMPRESSION, false);
    },
    'long and non-ASCII keys' => function (Memcached $client): void {
        // Over text the extension itself takes no others than ASCII.
        foreach (['k', str_repeat('k', 250), IS_TEXT ? '!"~' : 'ключ', 'a:b/c?d'] as $key) {
            equal($client->set($key, $key), true);
            equal($client->get($key), $key);
        }
    },
    'quiet writes' => function (Memcached $client): void {
        $quiet = connect();
        $quiet->setOption(Memcached::OPT_NOREPLY, true);
        for ($index = 0; $index < 200; $index++) {
            equal($quiet->set("quiet-$index", $index), true);
        }
        equal($quiet->delete('quiet-0'), true);
        equal($quiet->get('quiet-199'), 199);
        equal($client->get('quiet-0'), false);
        equal($client->get('quiet-1'), 1);
    },
    'buffered writes' => function (Memcached $client): void {
        // Few and small: libmemcached 1.1.4 loses some of more, whatever the server.
        $buffered = connect([Memcached::OPT_BUFFER_WRITES => true]);
        for ($index = 0; $index < 20; $index++) {
            $buffered->set("buffered-$index", str_repeat('x', 100));
        }
        equal($buffered->flushBuffers(), true);
        // Only the end of the connection shows that the server has carried out all of them, and over
        // text libmemcached does not wait for it.
        $buffered->quit();
        thereWithin($client, 'buffered-19', 30);
        equal($client->get('buffered-0'), str_repeat('x', 100));
        equal($client->get('buffered-19'), str_repeat('x', 100));
    },
    'a new connection' => function (Memcached $client): void {
        $client->set('reconnect', 'kept');
        equal($client->quit(), true);
        loggedIn($client);
        equal($client->get('reconnect'), 'kept');
    },
    'a connection for each page' => function (Memcached $client): void {
        $client->set('page', 'x');
        for ($index = 0; $index < 20; $index++) {
            equal(connect()->get('page'), 'x');
        }
    },
    'sessions' => function (Memcached $client): void {
        ini_set('session.save_handler', 'memcached');
        ini_set('session.save_path', getenv('CLIENT_HOST') . ':' . getenv('CLIENT_PORT'));
        ini_set('session.use_cookies', '0');
        ini_set('session.cache_limiter', '');
        ini_set('memcached.sess_binary_protocol', '1');
        ini_set('memcached.sess_sasl_username', getenv('CLIENT_USER'));
        ini_set('memcached.sess_sasl_password', getenv('CLIENT_PASSWORD'));
        session_id('session-of-alice');
        equal(session_start(), true);
        $_SESSION['name'] = 'alice';
        equal(session_write_close(), true);
        $_SESSION = [];
        equal(session_start(), true);
        equal($_SESSION['name'] ?? null, 'alice');
        equal(session_destroy(), true);
        equal($client->get('memc.sess.key.session-of-alice'), false);
    },
    'flush' => function (Memcached $client): void {
        $client->set('flush', 'x');
        equal($client->flush(), true);
        equal($client->get('flush'), false);
    },
];

if ($mode === 'login') {
    login();
    exit(0);
}
if ($mode === 'stranger') {
    stranger();
    exit(0);
}
if (IS_TEXT) {
    // PHP's session handler sends no command of the program's first.
    unset($checks['sessions']);
}
// A started session sets headers, which must not have been sent by output yet.
ob_start();
$client = connect();
foreach ($checks as $name => $check) {
    try {
        $check($client);
        echo "ok - $name\n";
    } catch (Throwable $error) {
        echo "not ok - $name: ", get_class($error), ' ', $error->getMessage(), "\n";
    }
}
