import java.net.InetSocketAddress;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;
import net.spy.memcached.AddrUtil;
import net.spy.memcached.CASResponse;
import net.spy.memcached.CASValue;
import net.spy.memcached.ConnectionFactory;
import net.spy.memcached.ConnectionFactoryBuilder;
import net.spy.memcached.MemcachedClient;
import net.spy.memcached.auth.AuthDescriptor;
import net.spy.memcached.auth.PlainCallbackHandler;
import net.spy.memcached.transcoders.SerializingTranscoder;

/**
 * Drives spymemcached through everything that it can do over the binary dialect.
 *
 * <p>The contract with the test is in test/support/client-suite.ts. The first argument is the list
 * of mechanisms, separated by commas; an empty one lets spymemcached ask the server and take the
 * first that the JDK has.
 */
public final class Client {
  private static final byte[] LARGE = new byte[1_000_000];
  private static final long PATIENCE_MS = Long.parseLong(System.getenv("CLIENT_PATIENCE_MS"));

  static {
    for (int index = 0; index < LARGE.length; index++) LARGE[index] = (byte) (index * 31);
  }

  private interface Check {
    void run(MemcachedClient client) throws Exception;
  }

  private static String[] mechanisms;

  public static void main(String[] arguments) throws Exception {
    System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
    Logger.getLogger("net.spy").setLevel(Level.OFF);
    mechanisms = arguments[0].isEmpty() ? new String[0] : arguments[0].split(",");
    if (arguments[arguments.length - 1].equals("login")) login();
    else operations();
    // Its threads are not daemons and go on reconnecting after a refusal.
    System.exit(0);
  }

  private static MemcachedClient connect() throws Exception {
    AuthDescriptor descriptor =
        new AuthDescriptor(
            mechanisms,
            new PlainCallbackHandler(
                System.getenv("CLIENT_USER"), System.getenv("CLIENT_PASSWORD")));
    SerializingTranscoder transcoder = new SerializingTranscoder();
    transcoder.setCompressionThreshold(Integer.MAX_VALUE);
    ConnectionFactory factory =
        new ConnectionFactoryBuilder()
            .setProtocol(ConnectionFactoryBuilder.Protocol.BINARY)
            .setAuthDescriptor(descriptor)
            .setAuthWaitTime(PATIENCE_MS)
            .setOpTimeout(PATIENCE_MS)
            .setTranscoder(transcoder)
            .build();
    String address = System.getenv("CLIENT_HOST") + ":" + System.getenv("CLIENT_PORT");
    List<InetSocketAddress> addresses = AddrUtil.getAddresses(address);
    return new MemcachedClient(factory, addresses);
  }

  private static void login() {
    try {
      connect().get("missing");
      System.out.println("accepted");
    } catch (Exception error) {
      System.out.println("refused: " + describe(error));
    }
  }

  private static void operations() throws Exception {
    MemcachedClient client = connect();
    Map<String, Check> checks = checks();
    for (Map.Entry<String, Check> each : checks.entrySet()) {
      try {
        each.getValue().run(client);
        System.out.println("ok - " + each.getKey());
      } catch (Exception | AssertionError error) {
        System.out.println("not ok - " + each.getKey() + ": " + describe(error));
      }
    }
    client.shutdown(5, TimeUnit.SECONDS);
  }

  private static String describe(Throwable error) {
    return (error.getClass().getSimpleName() + " " + error.getMessage()).replace('\n', ' ');
  }

  private static void equal(Object seen, Object expected) {
    if (!Objects.equals(seen, expected)) {
      throw new AssertionError("expected " + expected + ", saw " + seen);
    }
  }

  private static void goneWithin(MemcachedClient client, String key, long milliseconds)
      throws Exception {
    long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(milliseconds);
    while (client.get(key) != null) {
      if (System.nanoTime() > end) throw new AssertionError("the item did not expire");
      Thread.sleep(50);
    }
  }

  private static int secondsAgo(int seconds) {
    return (int) (System.currentTimeMillis() / 1000) - seconds;
  }

  private static Map<String, Check> checks() {
    Map<String, Check> checks = new java.util.LinkedHashMap<>();
    checks.put(
        "get",
        client -> {
          equal(client.get("get-missing"), null);
          equal(client.set("get", 0, "wörd").get(), true);
          equal(client.get("get"), "wörd");
          equal(client.asyncGet("get").get(), "wörd");
        });
    checks.put(
        "get of every type",
        client -> {
          List<Object> values =
              Arrays.asList("text", 42, -1L, 1.5, true, "", new HashMap<>(Map.of("a", List.of(1))));
          for (Object value : values) {
            equal(client.set("type", 0, value).get(), true);
            equal(client.get("type"), value);
          }
        });
    checks.put(
        "getBulk",
        client -> {
          Map<String, Object> expected = new HashMap<>();
          for (int index = 0; index < 100; index++) expected.put("multi-" + index, "value " + index);
          for (Map.Entry<String, Object> each : expected.entrySet()) {
            client.set(each.getKey(), 0, each.getValue());
          }
          client.waitForQueues(5, TimeUnit.SECONDS);
          List<String> keys = new java.util.ArrayList<>(expected.keySet());
          keys.add("multi-missing");
          equal(client.getBulk(keys), expected);
        });
    checks.put(
        "set",
        client -> {
          equal(client.set("set", 0, "one").get(), true);
          equal(client.set("set", 0, "two").get(), true);
          equal(client.get("set"), "two");
        });
    checks.put(
        "many sets at once",
        client -> {
          // spymemcached turns neighbouring writes of its queue into quiet ones ended by a NOOP.
          for (int index = 0; index < 1000; index++) client.set("queued-" + index, 0, index);
          equal(client.get("queued-999"), 999);
          equal(client.get("queued-0"), 0);
        });
    checks.put(
        "set with expiry",
        client -> {
          equal(client.set("expiry", 100, "long").get(), true);
          equal(client.get("expiry"), "long");
          equal(client.set("expiry", 1, "short").get(), true);
          goneWithin(client, "expiry", 10_000);
        });
    checks.put(
        "add",
        client -> {
          equal(client.add("add", 0, "first").get(), true);
          equal(client.add("add", 0, "second").get(), false);
          equal(client.get("add"), "first");
        });
    checks.put(
        "replace",
        client -> {
          equal(client.replace("replace", 0, "none").get(), false);
          client.set("replace", 0, "old").get();
          equal(client.replace("replace", 0, "new").get(), true);
          equal(client.get("replace"), "new");
        });
    checks.put(
        "append",
        client -> {
          equal(client.append("append-missing", "x").get(), false);
          client.set("append", 0, "left").get();
          equal(client.append("append", "-right").get(), true);
          equal(client.get("append"), "left-right");
        });
    checks.put(
        "prepend",
        client -> {
          equal(client.prepend("prepend-missing", "x").get(), false);
          client.set("prepend", 0, "right").get();
          equal(client.prepend("prepend", "left-").get(), true);
          equal(client.get("prepend"), "left-right");
        });
    checks.put(
        "append and prepend with CAS",
        client -> {
          client.set("append-cas", 0, "b").get();
          long cas = client.gets("append-cas").getCas();
          equal(client.append(cas, "append-cas", "c").get(), true);
          equal(client.append(cas, "append-cas", "d").get(), false);
          cas = client.gets("append-cas").getCas();
          equal(client.prepend(cas, "append-cas", "a").get(), true);
          equal(client.get("append-cas"), "abc");
        });
    checks.put(
        "gets and cas",
        client -> {
          client.set("cas", 0, "one").get();
          CASValue<Object> read = client.gets("cas");
          equal(read.getValue(), "one");
          equal(client.cas("cas", read.getCas(), "two"), CASResponse.OK);
          equal(client.cas("cas", read.getCas(), "three"), CASResponse.EXISTS);
          equal(client.get("cas"), "two");
          equal(client.cas("cas-missing", read.getCas(), "x"), CASResponse.NOT_FOUND);
        });
    checks.put(
        "delete",
        client -> {
          equal(client.delete("delete").get(), false);
          client.set("delete", 0, "x").get();
          long cas = client.gets("delete").getCas();
          equal(client.delete("delete", cas + 1_000).get(), false);
          equal(client.delete("delete", cas).get(), true);
          equal(client.get("delete"), null);
        });
    checks.put(
        "incr",
        client -> {
          equal(client.incr("incr", 1), -1L);
          equal(client.incr("incr", 1, 10L), 10L);
          equal(client.incr("incr", 5), 15L);
          equal(client.asyncIncr("incr", 1).get(), 16L);
          client.set("incr-word", 0, "no number").get();
          equal(client.incr("incr-word", 1), -1L);
        });
    checks.put(
        "decr",
        client -> {
          equal(client.decr("decr", 1), -1L);
          equal(client.decr("decr", 1, 10L), 10L);
          equal(client.decr("decr", 3), 7L);
          equal(client.decr("decr", 100), 0L);
        });
    checks.put(
        "touch",
        client -> {
          equal(client.touch("touch", 100).get(), false);
          client.set("touch", 0, "x").get();
          equal(client.touch("touch", 100).get(), true);
          equal(client.get("touch"), "x");
          equal(client.touch("touch", secondsAgo(10)).get(), true);
          equal(client.get("touch"), null);
        });
    checks.put(
        "getAndTouch",
        client -> {
          equal(client.getAndTouch("get-and-touch", 100), null);
          client.set("get-and-touch", 0, "x").get();
          equal(client.getAndTouch("get-and-touch", secondsAgo(10)).getValue(), "x");
          equal(client.get("get-and-touch"), null);
        });
    checks.put(
        "stats",
        client -> {
          client.set("stats", 0, "x").get();
          Map<String, String> stats = client.getStats().values().iterator().next();
          equal(stats.get("limit_maxbytes"), String.valueOf(64 * 1024 * 1024));
          for (String name : List.of("pid", "curr_items", "cmd_set", "threads")) {
            equal(Long.parseLong(stats.get(name)) > 0, true);
          }
          Map<String, String> settings = client.getStats("settings").values().iterator().next();
          equal(settings.containsKey("maxbytes"), true);
        });
    checks.put(
        "version",
        client ->
            equal(
                client.getVersions().values().iterator().next().matches("\\d+\\.\\d+\\.\\d+.*"),
                true));
    checks.put(
        "list of mechanisms",
        client -> {
          // On a connection of its own: memcached logs a connection out that asks for the list.
          MemcachedClient other = connect();
          Set<String> listed = other.listSaslMechanisms();
          equal(listed.contains("PLAIN"), true);
          equal(other.shutdown(5, TimeUnit.SECONDS), true);
        });
    checks.put(
        "large values",
        client -> {
          equal(client.set("large", 0, LARGE).get(), true);
          equal(Arrays.equals((byte[]) client.get("large"), LARGE), true);
          for (int index = 0; index < 4; index++) client.set("large-" + index, 0, LARGE);
          for (Object value :
              client.getBulk("large-0", "large-1", "large-2", "large-3").values()) {
            equal(Arrays.equals((byte[]) value, LARGE), true);
          }
        });
    checks.put(
        "a value too large",
        client -> {
          client.set("too-large", 0, "old").get();
          equal(client.set("too-large", 0, new byte[1024 * 1024]).get(), false);
          equal(client.get("too-large"), null);
          equal(client.set("too-large", 0, "new").get(), true);
        });
    checks.put(
        "long and non-ASCII keys",
        client -> {
          for (String key : List.of("k", "k".repeat(250), "ключ", "a:b/c?d")) {
            equal(client.set(key, 0, key).get(), true);
            equal(client.get(key), key);
          }
        });
    checks.put(
        "a new connection",
        client -> {
          client.set("reconnect", 0, "kept").get();
          MemcachedClient other = connect();
          equal(other.get("reconnect"), "kept");
          equal(other.shutdown(5, TimeUnit.SECONDS), true);
        });
    checks.put(
        "flush",
        client -> {
          client.set("flush", 0, "x").get();
          equal(client.flush().get(), true);
          equal(client.get("flush"), null);
        });
    return Collections.unmodifiableMap(checks);
  }
}
