/*
 * A load generator for memcached servers: one thread, epoll, non-blocking sockets, requests cut from
 * templates that are built before the clock starts.
 *
 * Its invariant: no reply is counted that was not verified. Replies are checked against what was
 * asked on that connection in that order: magic, opcode, status, opaque, every length, the item's
 * flags (which carry the key's number) and the value's bytes (all of a short value, both ends of
 * each piece of a long one, and all of every sixteenth). A reply that does not fit ends the run with
 * exit code 1, because a server that answers wrongly may do so at any speed.
 *
 * It knows nothing of who is measured or why: run.mjs starts the servers and reads the JSON this
 * prints. Linux only (epoll, /proc).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

enum { EXIT_MISMATCH = 1, EXIT_USAGE = 2 };
enum { BINARY, TEXT, META };
enum { MODE_LOAD, MODE_LOGIN, MODE_IDLE, MODE_HANDSHAKE, MODE_SLICES };

/* Binary header fields that a reply is checked for (WIRE: magic, opcode, status). */
enum { REQUEST_MAGIC = 0x80, RESPONSE_MAGIC = 0x81, HEADER_BYTES = 24 };
enum { OP_GET = 0x00, OP_SET = 0x01, OP_LIST_MECHS = 0x20, OP_AUTH = 0x21, OP_VERSION = 0x0b };
enum { STATUS_OK = 0, STATUS_NOT_FOUND = 1, STATUS_OUT_OF_MEMORY = 0x82 };

enum {
  READ_BYTES = 256 * 1024,
  CARRY_BYTES = 1024,        /* the longest reply head that a read can cut in two */
  KEY_BYTES_MAX = 250,
  PIPELINE_MAX = 4096,
  SHORT_VALUE_BYTES = 512,   /* values up to here are compared whole */
  SAMPLE_BYTES = 64,         /* of longer ones, this much at both ends of each piece */
  POOL_SHIFT_BYTES = 4093,   /* values start at one of so many places in the pool */
  FLAGS_BASE = 1000000,      /* flags always have seven digits, so that text replies have one length */
  FLAGS_SPAN = 9000000,
  EVENTS_MAX = 512,
  LOGIN_REPLY_BYTES = 512,
};

static struct {
  const char *host;
  const char *port;
  int dialect;
  int mode;
  uint32_t connections;
  uint32_t pipeline;
  uint32_t valueBytes;
  uint32_t keyBytes;
  uint32_t keyCount;
  uint32_t gets;
  uint32_t sets;
  double seconds;
  double warmupSeconds;
  double stallSeconds;
  uint64_t requests;
  uint64_t rate;
  uint64_t seed;
  const char *user;
  const char *password;
  uint32_t userCount;
  bool listMechanisms;
  uint32_t sources;
  bool prefill;
  bool missesFail;
  bool mayRefuse;
  bool multi;
  bool tls;
  bool resume;
  int serverPid;
  int serverThread;
  const char *otherPort;
  const char *otherUser;
  int otherPid;
  uint32_t sliceRequests;
} options = {
    .host = "127.0.0.1",
    .port = "11211",
    .dialect = BINARY,
    .mode = MODE_LOAD,
    .connections = 50,
    .pipeline = 1,
    .valueBytes = 100,
    .keyBytes = 20,
    .keyCount = 10000,
    .gets = 10,
    .sets = 1,
    .seconds = 3,
    .warmupSeconds = 0.5,
    .stallSeconds = 10,
    .seed = 1,
    .userCount = 1,
    .sources = 8,
    .sliceRequests = 1000,
};

static const char USAGE[] =
    "Usage: load [options]\n"
    "\n"
    "Loads a memcached server, verifies every reply and prints one JSON object.\n"
    "\n"
    "  --host HOST          server address (127.0.0.1)\n"
    "  --port PORT          server port (11211)\n"
    "  --mode MODE          load: gets and sets on lasting connections (the default)\n"
    "                       login: connect, log in, close, again and again\n"
    "                       idle: connect, log in, and hold the connections\n"
    "                       handshake: connect over TLS, ask for the version, close, again and again\n"
    "                       slices: load on two servers, or as two users of one, in turns of a few\n"
    "                       milliseconds; what each turn took its server is printed\n"
    "  --dialect NAME       binary, text or meta (binary)\n"
    "  --connections N      connections held, or logins under way at once (50)\n"
    "  --pipeline N         requests sent in one write and then waited for (1)\n"
    "  --value-bytes N      bytes of a value (100)\n"
    "  --key-bytes N        bytes of a key, 16 to 250 (20)\n"
    "  --keys N             different keys, chosen evenly (10000)\n"
    "  --ratio GETS:SETS    mix of requests (10:1)\n"
    "  --multi              text and meta, gets only: the gets of a batch are one request for\n"
    "                       many keys (text: one get; meta: quiet mgs and an mn); each key\n"
    "                       counts as a request, and a miss is a wrong reply\n"
    "  --seconds S          length of the measured window (3)\n"
    "  --requests N         end after N requests or logins instead of after a time\n"
    "  --warmup S           seconds of the same load before the window (0.5)\n"
    "  --rate N             requests a second at fixed times; latency counts from the\n"
    "                       time a request was due (default: as fast as replies come)\n"
    "  --prefill            set every key once before the warm-up\n"
    "  --misses-fail        a get that misses makes the run fail\n"
    "  --may-refuse         binary: a set refused for want of memory does not make the run fail;\n"
    "                       they are counted as refusals\n"
    "  --user NAME          log in on each connection (PLAIN; text and meta: set)\n"
    "  --password WORD\n"
    "  --user-count N       log in as NAME0 ... NAME<N-1> in turn (1: as NAME)\n"
    "  --list               login mode: ask for the mechanisms first\n"
    "  --sources N          login mode: client addresses 127.0.0.1 ... 127.0.0.N, so that\n"
    "                       closed connections do not use up the ports (8)\n"
    "  --tls                over TLS 1.3 (a generator that was compiled with it)\n"
    "  --resume             handshake mode: resume the session of the first\n"
    "  --server-pid PID     report that process's CPU time and memory over the window\n"
    "  --server-thread TID  report what that thread computes between a request and its reply,\n"
    "                       where the kernel tells (perf_event_open): its processor time, in which\n"
    "                       nothing is that others took of the processor meanwhile\n"
    "  --other-port PORT    slices mode: the other server, of the same host\n"
    "  --other-pid PID      slices mode: its process; --server-pid is that of the first\n"
    "  --other-user NAME    slices mode: whom to log in as there, with the same password (--user)\n"
    "  --slice-requests N   slices mode: requests of a turn (1000)\n"
    "  --stall-limit S      give up when no reply comes for S seconds (10)\n"
    "  --seed N             seed of the random choices (1)\n"
    "  --help\n"
    "\n"
    "Exit codes: 0 all replies right, 1 a wrong or missing reply, 2 wrong usage.\n";

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(EXIT_MISMATCH);
}

__attribute__((noreturn, format(printf, 1, 2))) static void failUsage(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, arguments);
  fputs(" (see --help)\n", stderr);
  va_end(arguments);
  exit(EXIT_USAGE);
}

static void *allocate(size_t count, size_t bytes) {
  void *memory = calloc(count, bytes);
  if (memory == NULL) failUsage("out of memory: %zu times %zu bytes", count, bytes);
  return memory;
}

/* What came instead of what was expected, in a form that a terminal can show. */
static const char *printable(const uint8_t *bytes, size_t length) {
  static char text[4 * SAMPLE_BYTES + 4];
  size_t at = 0;
  size_t shown = length < SAMPLE_BYTES ? length : SAMPLE_BYTES;
  for (size_t i = 0; i < shown; i++) {
    if (bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '\\') text[at++] = (char)bytes[i];
    else at += (size_t)sprintf(text + at, "\\x%02x", bytes[i]);
  }
  strcpy(text + at, shown < length ? "..." : "");
  return text;
}

/* ---- numbers ------------------------------------------------------------------------------ */

static void putU16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static void putU32(uint8_t *at, uint32_t value) {
  uint32_t big = htonl(value);
  memcpy(at, &big, 4);
}

static uint32_t getU16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static uint32_t getU32(const uint8_t *at) {
  uint32_t big;
  memcpy(&big, at, 4);
  return ntohl(big);
}

static void putHex32(uint8_t *at, uint32_t value) {
  for (int i = 7; i >= 0; i--) {
    at[i] = (uint8_t)"0123456789abcdef"[value & 15];
    value >>= 4;
  }
}

static uint64_t nowNs(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t randomState;

/* xorshift64*: even enough to choose keys, and repeatable from --seed. */
static inline uint32_t random32(void) {
  randomState ^= randomState >> 12;
  randomState ^= randomState << 25;
  randomState ^= randomState >> 27;
  return (uint32_t)(randomState * 0x2545f4914f6cdd1dULL >> 32);
}

static inline uint32_t randomBelow(uint32_t bound) {
  return (uint32_t)((uint64_t)random32() * bound >> 32);
}

/* ---- latency histogram -------------------------------------------------------------------- */

/*
 * Counts by (power of two, 64 steps within it): constant memory, and every percentile right to
 * 1.6 % from one nanosecond to 18 minutes.
 *
 *   ns < 64            row 0, step = ns
 *   2^(r+5) .. 2^(r+6) row r, step = the six bits below the leading one
 */
enum { STEP_BITS = 6, STEPS = 1 << STEP_BITS, ROWS = 36 };
typedef struct {
  uint64_t counts[ROWS * STEPS];
  uint64_t sumNs, maxNs, count;
} Histogram;
static Histogram latencies;
/* Of the same requests, what the server computed meanwhile: see --server-thread. */
static Histogram computed;
/* The slowest reply of each second of the window; what comes later counts for the last one. */
enum { TIMELINE_SECONDS = 3600 };
static uint64_t slowestNs[TIMELINE_SECONDS];
static uint32_t timelineSeconds;

static inline void recordSlowest(uint64_t ns, uint64_t sinceStartNs) {
  uint64_t second = sinceStartNs / 1000000000u;
  if (second >= TIMELINE_SECONDS) second = TIMELINE_SECONDS - 1;
  if (ns > slowestNs[second]) slowestNs[second] = ns;
  if (second >= timelineSeconds) timelineSeconds = (uint32_t)second + 1;
}

static inline void record(Histogram *of, uint64_t ns, uint64_t count) {
  uint32_t index = (uint32_t)ns;
  if (ns >= STEPS) {
    uint32_t row = (uint32_t)(63 - __builtin_clzll(ns)) - STEP_BITS + 1;
    uint32_t step = (uint32_t)(ns >> (row - 1)) & (STEPS - 1);
    if (row >= ROWS) {
      row = ROWS - 1;
      step = STEPS - 1;
    }
    index = row * STEPS + step;
  }
  of->counts[index] += count;
  of->sumNs += ns * count;
  of->count += count;
  if (ns > of->maxNs) of->maxNs = ns;
}

/* The microseconds that `share` of the requests did not exceed. */
static double percentileUs(const Histogram *of, double share) {
  uint64_t wanted = (uint64_t)(share * (double)of->count);
  uint64_t seen = 0;
  if (wanted == 0) wanted = 1;
  for (uint32_t index = 0; index < ROWS * STEPS; index++) {
    seen += of->counts[index];
    if (seen >= wanted && seen > 0) {
      uint32_t row = index / STEPS;
      uint64_t step = index % STEPS;
      uint64_t upper = row == 0 ? step + 1 : (STEPS + step + 1) << (row - 1);
      if (upper > of->maxNs) upper = of->maxNs;
      return (double)upper / 1000;
    }
  }
  return 0;
}

/* ---- what the server and this program used ------------------------------------------------- */

/* utime + stime of all threads, in seconds; -1 when the process cannot be read. */
static double serverCpuSeconds(void) {
  char path[64], line[1024];
  if (options.serverPid == 0) return -1;
  snprintf(path, sizeof path, "/proc/%d/stat", options.serverPid);
  FILE *file = fopen(path, "r");
  if (file == NULL) fail("server process %d is gone", options.serverPid);
  size_t length = fread(line, 1, sizeof line - 1, file);
  fclose(file);
  line[length] = 0;
  /* The command name may contain spaces and parentheses: fields are counted from the last one. */
  const char *fields = strrchr(line, ')');
  unsigned long long user, system;
  if (fields == NULL ||
      sscanf(fields + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
             &system) != 2)
    fail("cannot read %s", path);
  return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static long serverRssKib(void) {
  char path[64], line[256];
  long kib = -1;
  if (options.serverPid == 0) return -1;
  snprintf(path, sizeof path, "/proc/%d/status", options.serverPid);
  FILE *file = fopen(path, "r");
  if (file == NULL) fail("server process %d is gone", options.serverPid);
  while (fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "VmRSS: %ld", &kib) == 1) break;
  fclose(file);
  return kib;
}

static int taskClockFd = -1;

/* Without the right to it, or a kernel that has it, nothing is reported: the run goes on. */
static void openTaskClock(void) {
  struct perf_event_attr clock = {
      .size = sizeof clock, .type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_TASK_CLOCK};
  if (options.serverThread > 0)
    taskClockFd = (int)syscall(SYS_perf_event_open, &clock, options.serverThread, -1, -1,
                               PERF_FLAG_FD_CLOEXEC);
}

/* What the server's thread has computed so far, in nanoseconds. */
static inline uint64_t taskClockNs(void) {
  uint64_t ns = 0;
  if (taskClockFd >= 0 && read(taskClockFd, &ns, sizeof ns) != sizeof ns)
    fail("the processor time of thread %d cannot be read", options.serverThread);
  return ns;
}

static double ownCpuSeconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static struct {
  uint64_t startNs, endNs;
  double serverCpuStart, serverCpuEnd;
  double ownCpuStart, ownCpuEnd;
  uint64_t requests, hits, misses, stores, errors, refusals, bytesRead;
} window;
static long rssBeforeKib = -1;
/* At a fixed rate: how late a batch went out though connections waited for one. That is not the
   server's doing: others had this program's core. */
static uint64_t sendLateMaxNs;

/* Slices mode: what each pair of turns took, that of the first server before that of the other. */
typedef struct {
  uint64_t cpuNs, wallNs;
} Turn;
static Turn (*pairs)[2];
static size_t pairCount;

static void openWindow(void) {
  window.serverCpuStart = serverCpuSeconds();
  window.ownCpuStart = ownCpuSeconds();
  window.startNs = nowNs();
}

static void closeWindow(void) {
  window.endNs = nowNs();
  window.ownCpuEnd = ownCpuSeconds();
  window.serverCpuEnd = serverCpuSeconds();
}

static void printHistogram(const char *name, const Histogram *of) {
  printf(",\"%s\":{\"mean\":%.2f,\"p50\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"max\":%.2f}", name,
         of->count > 0 ? (double)of->sumNs / (double)of->count / 1000 : 0, percentileUs(of, 0.5),
         percentileUs(of, 0.99), percentileUs(of, 0.999), (double)of->maxNs / 1000);
}

static void printReport(void) {
  double seconds = (double)(window.endNs - window.startNs) / 1e9;
  double ownCpu = window.ownCpuEnd - window.ownCpuStart;
  double perSecond = seconds > 0 ? (double)window.requests / seconds : 0;
  printf("{\"requests\":%" PRIu64 ",\"seconds\":%.6f,\"requestsPerSecond\":%.1f", window.requests,
         seconds, perSecond);
  printHistogram("latencyUs", &latencies);
  if (taskClockFd >= 0) printHistogram("computedUs", &computed);
  printf(",\"sendLateUs\":%.2f,\"slowestUs\":[", (double)sendLateMaxNs / 1000);
  for (uint32_t i = 0; i < timelineSeconds; i++)
    printf("%s%.0f", i == 0 ? "" : ",", (double)slowestNs[i] / 1000);
  printf("]");
  printf(",\"hits\":%" PRIu64 ",\"misses\":%" PRIu64 ",\"stores\":%" PRIu64 ",\"errors\":%" PRIu64
         ",\"refusals\":%" PRIu64,
         window.hits, window.misses, window.stores, window.errors, window.refusals);
  printf(",\"turns\":[");
  for (size_t i = 0; i < pairCount; i++)
    printf("%s[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]", i == 0 ? "" : ",",
           pairs[i][0].cpuNs, pairs[i][1].cpuNs, pairs[i][0].wallNs, pairs[i][1].wallNs);
  printf("]");
  printf(",\"bytesRead\":%" PRIu64 ",\"generatorCpuSeconds\":%.4f,\"generatorCpuShare\":%.4f",
         window.bytesRead, ownCpu, seconds > 0 ? ownCpu / seconds : 0);
  printf(",\"generatorCpuSecondsInAll\":%.4f", ownCpuSeconds());
  if (options.serverPid != 0) {
    double cpu = window.serverCpuEnd - window.serverCpuStart;
    printf(",\"serverCpuSeconds\":%.4f,\"serverCpuShare\":%.4f", cpu,
           seconds > 0 ? cpu / seconds : 0);
    printf(",\"serverCpuUsPerRequest\":%.4f",
           window.requests > 0 ? cpu * 1e6 / (double)window.requests : 0);
    printf(",\"serverRssKibBefore\":%ld,\"serverRssKib\":%ld", rssBeforeKib, serverRssKib());
  }
  printf("}\n");
}

/* ---- requests and what must come back ------------------------------------------------------ */

/*
 * One table row a key, written before the run:
 *
 *   | get request | head of a set request | head of a hit (text, meta) |
 *
 * All rows of a dialect have the same lengths, so a request is one copy and, where the dialect has
 * an opaque, four or eight bytes patched at a fixed place.
 */
static uint8_t *templates;
static size_t templateBytes, getBytes, setHeadBytes, hitHeadBytes;
static size_t getOpaqueAt, setOpaqueAt, hitOpaqueAt;
static const char *setTail = "", *hitTail = "", *missReply = "";
static size_t setTailBytes, hitTailBytes, missReplyBytes;
/* With --multi: what stands before and behind the gets of a batch, and behind their replies. */
static const char *batchHead = "", *batchTail = "", *batchEnd = "";
static size_t batchHeadBytes, batchTailBytes, batchEndBytes;
static uint8_t *pool;

static inline const uint8_t *getTemplate(uint32_t key) { return templates + key * templateBytes; }
static inline const uint8_t *setTemplate(uint32_t key) { return getTemplate(key) + getBytes; }
static inline const uint8_t *hitTemplate(uint32_t key) { return setTemplate(key) + setHeadBytes; }
static inline const uint8_t *valueOf(uint32_t key) { return pool + key % POOL_SHIFT_BYTES; }
static inline uint32_t flagsOf(uint32_t key) { return FLAGS_BASE + key % FLAGS_SPAN; }

static void putHeader(uint8_t *at, uint8_t opcode, uint32_t keyBytes, uint8_t extrasBytes,
                      uint32_t valueBytes) {
  memset(at, 0, HEADER_BYTES);
  at[0] = REQUEST_MAGIC;
  at[1] = opcode;
  putU16(at + 2, keyBytes);
  at[4] = extrasBytes;
  putU32(at + 8, extrasBytes + keyBytes + valueBytes);
}

static void buildTemplates(void) {
  uint32_t keyBytes = options.keyBytes, valueBytes = options.valueBytes;
  char key[KEY_BYTES_MAX + 1], line[3][KEY_BYTES_MAX + 128];

  pool = allocate(valueBytes + POOL_SHIFT_BYTES, 1);
  for (size_t i = 0; i < valueBytes + POOL_SHIFT_BYTES; i++) pool[i] = (uint8_t)random32();

  for (uint32_t k = 0; k < options.keyCount; k++) {
    snprintf(key, sizeof key, "key-%0*" PRIu32, (int)keyBytes - 4, k);
    if (options.dialect == BINARY) {
      if (k == 0) {
        getBytes = HEADER_BYTES + keyBytes;
        setHeadBytes = HEADER_BYTES + 8 + keyBytes;
        getOpaqueAt = setOpaqueAt = 12;
        templateBytes = getBytes + setHeadBytes;
        templates = allocate(options.keyCount, templateBytes);
      }
      uint8_t *get = templates + k * templateBytes, *set = get + getBytes;
      putHeader(get, OP_GET, keyBytes, 0, 0);
      memcpy(get + HEADER_BYTES, key, keyBytes);
      putHeader(set, OP_SET, keyBytes, 8, valueBytes);
      putU32(set + HEADER_BYTES, flagsOf(k));
      memcpy(set + HEADER_BYTES + 8, key, keyBytes);
      continue;
    }
    int lengths[3];
    if (options.dialect == TEXT) {
      lengths[0] = sprintf(line[0], options.multi ? " %s" : "get %s\r\n", key);
      lengths[1] = sprintf(line[1], "set %s %u 0 %u\r\n", key, flagsOf(k), valueBytes);
      lengths[2] = sprintf(line[2], "VALUE %s %u %u\r\n", key, flagsOf(k), valueBytes);
    } else {
      lengths[0] = sprintf(line[0], "mg %s v f%s O00000000\r\n", key, options.multi ? " q" : "");
      lengths[1] = sprintf(line[1], "ms %s %u F%u O00000000\r\n", key, valueBytes, flagsOf(k));
      lengths[2] = sprintf(line[2], "VA %u f%u O00000000\r\n", valueBytes, flagsOf(k));
    }
    if (k == 0) {
      getBytes = (size_t)lengths[0];
      setHeadBytes = (size_t)lengths[1];
      hitHeadBytes = (size_t)lengths[2];
      getOpaqueAt = getBytes - 10;
      setOpaqueAt = setHeadBytes - 10;
      hitOpaqueAt = hitHeadBytes - 10;
      templateBytes = getBytes + setHeadBytes + hitHeadBytes;
      templates = allocate(options.keyCount, templateBytes);
    }
    uint8_t *at = templates + k * templateBytes;
    for (int i = 0; i < 3; i++) {
      memcpy(at, line[i], (size_t)lengths[i]);
      at += lengths[i];
    }
  }
  if (options.dialect != BINARY) {
    setTail = "\r\n";
    hitTail = options.dialect == TEXT && !options.multi ? "\r\nEND\r\n" : "\r\n";
    missReply = options.dialect == TEXT ? "END\r\n" : "EN\r\n";
    setTailBytes = strlen(setTail);
    hitTailBytes = strlen(hitTail);
    missReplyBytes = strlen(missReply);
  }
  if (options.multi) {
    batchHead = options.dialect == TEXT ? "get" : "";
    batchTail = options.dialect == TEXT ? "\r\n" : "mn\r\n";
    batchEnd = options.dialect == TEXT ? "END\r\n" : "MN\r\n";
    batchHeadBytes = strlen(batchHead);
    batchTailBytes = strlen(batchTail);
    batchEndBytes = strlen(batchEnd);
  }
}

/* ---- logins -------------------------------------------------------------------------------- */

static uint8_t **loginRequests;
static size_t *loginRequestBytes;
static uint8_t listRequest[HEADER_BYTES];
#ifdef WITH_TLS
static uint8_t versionRequest[HEADER_BYTES] = {REQUEST_MAGIC, OP_VERSION};
#endif
enum { LOGIN_OPAQUE = 0x6c6f6769, LIST_OPAQUE = 0x6c697374 };

static void buildLogins(void) {
  if (options.user == NULL) return;
  uint32_t count = options.userCount + (options.otherUser == NULL ? 0 : 1);
  loginRequests = allocate(count, sizeof *loginRequests);
  loginRequestBytes = allocate(count, sizeof *loginRequestBytes);
  putHeader(listRequest, OP_LIST_MECHS, 0, 0, 0);
  putU32(listRequest + 12, LIST_OPAQUE);
  for (uint32_t i = 0; i < count; i++) {
    char user[1100];
    const char *name = i == options.userCount ? options.otherUser : options.user;
    int userBytes = options.userCount == 1 ? snprintf(user, sizeof user, "%s", name)
                                           : snprintf(user, sizeof user, "%s%u", name, i);
    size_t passwordBytes = strlen(options.password);
    if ((size_t)userBytes >= sizeof user) failUsage("--user is longer than 1024 bytes");
    uint8_t *request = allocate(1, (size_t)userBytes + passwordBytes + 128);
    loginRequests[i] = request;
    if (options.dialect == BINARY) {
      uint8_t *at = request + HEADER_BYTES;
      putHeader(request, OP_AUTH, 5, 0, (uint32_t)((size_t)userBytes + passwordBytes + 2));
      putU32(request + 12, LOGIN_OPAQUE);
      memcpy(at, "PLAIN", 6); /* with the NUL that stands before the user name (RFC 4616) */
      memcpy(at + 6, user, (size_t)userBytes + 1);
      memcpy(at + 6 + userBytes + 1, options.password, passwordBytes);
      loginRequestBytes[i] = HEADER_BYTES + 6 + (size_t)userBytes + 1 + passwordBytes;
    } else {
      loginRequestBytes[i] = (size_t)sprintf((char *)request, "set auth 0 0 %zu\r\n%s %s\r\n",
                                             (size_t)userBytes + 1 + passwordBytes, user,
                                             options.password);
    }
  }
}

/*
 * How many bytes of `bytes` are a whole and right reply to a login request; 0 when more must come.
 * Ends the run when the reply is a wrong one.
 */
static size_t loginReplyBytes(const uint8_t *bytes, size_t length, uint8_t opcode,
                              uint32_t opaque) {
  if (options.dialect != BINARY) {
    size_t shared = length < 8 ? length : 8;
    if (memcmp(bytes, "STORED\r\n", shared) != 0)
      fail("login refused: %s", printable(bytes, length));
    return length < 8 ? 0 : 8;
  }
  if (length < HEADER_BYTES) return 0;
  uint32_t bodyBytes = getU32(bytes + 8);
  if (bytes[0] != RESPONSE_MAGIC || bytes[1] != opcode || getU32(bytes + 12) != opaque ||
      getU16(bytes + 2) != 0 || bytes[4] != 0 || bodyBytes > LOGIN_REPLY_BYTES - HEADER_BYTES)
    fail("wrong reply to a login: %s", printable(bytes, length));
  if (getU16(bytes + 6) != STATUS_OK)
    fail("login refused with status 0x%02x: %s", getU16(bytes + 6), printable(bytes, length));
  return length < HEADER_BYTES + bodyBytes ? 0 : HEADER_BYTES + bodyBytes;
}

/* ---- sockets ------------------------------------------------------------------------------- */

static struct addrinfo *serverAddress;
static int epollFd;

static struct addrinfo *resolve(const char *port) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *address;
  int code = getaddrinfo(options.host, port, &hints, &address);
  if (code != 0) failUsage("%s port %s: %s", options.host, port, gai_strerror(code));
  return address;
}

static int openSocket(int flags) {
  int on = 1;
  int fd = socket(serverAddress->ai_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (fd < 0) fail("cannot open a socket: %s", strerror(errno));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  /* The cheapest one there is: nothing is ever lost on loopback, and a host that runs BBR would have
     this program spend a tenth of its time on pacing. Where it is missing the default stays. */
  setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
  return fd;
}

/* ---- TLS ------------------------------------------------------------------------------------- */

#ifdef WITH_TLS
enum { FDS_MAX = 1 << 20, SESSIONS_MAX = 1024 };
static SSL_CTX *tlsContext;
static SSL **tlsOf; /* by file descriptor */
/* Each is taken once: a server need not resume a session twice. */
static SSL_SESSION *tlsSessions[SESSIONS_MAX];
static uint32_t tlsSessionCount;
static uint64_t tlsResumed;

static int keepSession(SSL *ssl, SSL_SESSION *session) {
  (void)ssl;
  if (!options.resume || tlsSessionCount == SESSIONS_MAX) return 0;
  tlsSessions[tlsSessionCount++] = session;
  return 1;
}

static void openTls(void) {
  tlsContext = SSL_CTX_new(TLS_client_method());
  tlsOf = allocate(FDS_MAX, sizeof *tlsOf);
  SSL_CTX_set_min_proto_version(tlsContext, TLS1_3_VERSION);
  SSL_CTX_set_mode(tlsContext, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(tlsContext, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(tlsContext, keepSession);
}

static void beginTls(int fd) {
  SSL *ssl = SSL_new(tlsContext);
  SSL_set_fd(ssl, fd);
  SSL_set_connect_state(ssl);
  if (tlsSessionCount > 0) {
    SSL_SESSION *session = tlsSessions[--tlsSessionCount];
    SSL_set_session(ssl, session);
    SSL_SESSION_free(session);
  }
  tlsOf[fd] = ssl;
}

/* 1: done, 0: has to wait for the socket. */
static int shakeHands(int fd) {
  ERR_clear_error();
  int done = SSL_connect(tlsOf[fd]);
  if (done == 1) {
    if (SSL_session_reused(tlsOf[fd])) tlsResumed++;
    return 1;
  }
  int error = SSL_get_error(tlsOf[fd], done);
  if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
    fail("a handshake failed: %s", ERR_error_string(ERR_get_error(), NULL));
  return 0;
}

static ssize_t tlsResult(SSL *ssl, int result) {
  int error = SSL_get_error(ssl, result);
  if (error == SSL_ERROR_ZERO_RETURN) return 0;
  errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN
          : errno == 0                                                  ? EPROTO
                                                                        : errno;
  return -1;
}

/* All that has come: what the library holds already does not wake epoll again. */
static ssize_t tlsReceive(SSL *ssl, uint8_t *bytes, size_t length) {
  size_t got = 0;
  while (got < length) {
    ERR_clear_error();
    int read = SSL_read(ssl, bytes + got, (int)(length - got));
    if (read <= 0) return got > 0 ? (ssize_t)got : tlsResult(ssl, read);
    got += (size_t)read;
    if (!SSL_has_pending(ssl) && (fcntl(SSL_get_fd(ssl), F_GETFL) & O_NONBLOCK) == 0) break;
  }
  return (ssize_t)got;
}
#endif

static ssize_t sendBytes(int fd, const uint8_t *bytes, size_t length) {
#ifdef WITH_TLS
  if (options.tls) {
    ERR_clear_error();
    int sent = SSL_write(tlsOf[fd], bytes, (int)length);
    return sent > 0 ? sent : tlsResult(tlsOf[fd], sent);
  }
#endif
  return send(fd, bytes, length, MSG_NOSIGNAL);
}

static ssize_t receiveBytes(int fd, uint8_t *bytes, size_t length) {
#ifdef WITH_TLS
  if (options.tls) return tlsReceive(tlsOf[fd], bytes, length);
#endif
  return recv(fd, bytes, length, 0);
}

static void closeSocket(int fd) {
#ifdef WITH_TLS
  if (options.tls) {
    SSL_shutdown(tlsOf[fd]);
    SSL_free(tlsOf[fd]);
    tlsOf[fd] = NULL;
  }
#endif
  close(fd);
}

static void sendAll(int fd, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    ssize_t sent = sendBytes(fd, bytes, length);
    if (sent <= 0) fail("cannot send a login: %s", strerror(errno));
    bytes += sent;
    length -= (size_t)sent;
  }
}

/* A connection ready for load, logged in when there is a user. Blocks: it is before the clock. */
static int openLoggedIn(uint32_t number, uint32_t user) {
  int fd = openSocket(0);
  struct timeval limit = {.tv_sec = (time_t)options.stallSeconds};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (connect(fd, serverAddress->ai_addr, serverAddress->ai_addrlen) != 0)
    fail("connection %u to %s port %s: %s", number, options.host, options.port, strerror(errno));
#ifdef WITH_TLS
  if (options.tls) {
    beginTls(fd);
    if (shakeHands(fd) != 1) fail("connection %u: no handshake in time", number);
    /* Its tickets come with the first reply. */
    uint8_t reply[LOGIN_REPLY_BYTES];
    sendAll(fd, versionRequest, sizeof versionRequest);
    if (receiveBytes(fd, reply, sizeof reply) <= HEADER_BYTES) fail("connection %u: no version", number);
  }
#endif
  if (options.user != NULL) {
    uint8_t reply[LOGIN_REPLY_BYTES];
    size_t length = 0;
    sendAll(fd, loginRequests[user], loginRequestBytes[user]);
    while (loginReplyBytes(reply, length, OP_AUTH, LOGIN_OPAQUE) == 0) {
      ssize_t got = receiveBytes(fd, reply + length, sizeof reply - length);
      if (got <= 0) fail("connection %u: no reply to the login", number);
      length += (size_t)got;
    }
  }
  if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) fail("fcntl: %s", strerror(errno));
  return fd;
}

static void watch(int operation, int fd, uint32_t events, uint32_t number) {
  struct epoll_event event = {.events = events, .data.u32 = number};
  if (epoll_ctl(epollFd, operation, fd, &event) != 0) fail("epoll: %s", strerror(errno));
}

/* ---- load ---------------------------------------------------------------------------------- */

enum { HEAD, VALUE, TAIL, SKIP, BATCH_END };
enum { PREFILL, WARMUP, MEASURE, DRAIN };
#define NEED_MORE SIZE_MAX
/* The longest that is waited before a look at the clock. */
#define LOOK_MS 100

typedef struct {
  int fd;
  uint8_t replyState;
  bool compareWhole;
  bool isMulti;
  uint32_t carryBytes;
  uint32_t sent, answered;    /* of the batch under way */
  uint32_t firstOpaque;
  uint32_t bodyLeft, valueAt; /* of the reply under way */
  uint64_t startNs;
  uint64_t startComputedNs;   /* of the server's thread */
  uint64_t repliesSeen;
  uint32_t *batch;            /* key * 2 + (1 for a set), in the order of sending */
  uint8_t *unsent;            /* what the socket did not take; NULL when it took all */
  size_t unsentAt, unsentBytes;
  uint8_t carry[CARRY_BYTES]; /* a reply head that a read cut in two */
} Connection;

static Connection *connections;
static int phase;
static uint32_t prefillAt, prefillDepth, busyConnections;
/* Without a reply, while somebody waits for one; and until when it was counted. */
static uint64_t silentNs, countedNs;
static uint8_t *readBuffer, *writeBuffer;
/* Slices mode: what is left to be sent of the turn. */
static uint32_t sliceLeft;

/* Fixed-rate load: the time of the next batch, and connections that wait for one. */
static uint64_t dueNs, gapNs;
static uint32_t *idleConnections, idleCount;

static void beginSilence(void) {
  silentNs = 0;
  countedNs = nowNs();
}

/*
 * Called after each look for replies, which takes LOOK_MS at most. In what goes by beyond that this process did not
 * run, and requests that have been due meanwhile are only being sent: none of it is the server's.
 */
static void countSilence(const char *waiting) {
  uint64_t now = nowNs(), passedNs = now - countedNs, mostNs = LOOK_MS * UINT64_C(1000000);
  countedNs = now;
  if (busyConnections == 0) silentNs = 0;
  else silentNs += passedNs < mostNs ? passedNs : mostNs;
  if ((double)silentNs > options.stallSeconds * 1e9)
    fail("no reply for %.0f seconds, %u %s wait", options.stallSeconds, busyConnections, waiting);
}

static uint8_t *appendRequest(uint8_t *at, uint32_t request, uint32_t opaque) {
  uint32_t key = request >> 1;
  bool isSet = (request & 1) != 0;
  size_t headBytes = isSet ? setHeadBytes : getBytes;
  memcpy(at, isSet ? setTemplate(key) : getTemplate(key), headBytes);
  if (options.dialect == BINARY) putU32(at + getOpaqueAt, opaque);
  else if (options.dialect == META) putHex32(at + (isSet ? setOpaqueAt : getOpaqueAt), opaque);
  at += headBytes;
  if (isSet) {
    memcpy(at, valueOf(key), options.valueBytes);
    at += options.valueBytes;
    memcpy(at, setTail, setTailBytes);
    at += setTailBytes;
  }
  return at;
}

static void flushUnsent(Connection *c) {
  while (c->unsentAt < c->unsentBytes) {
    ssize_t sent = sendBytes(c->fd, c->unsent + c->unsentAt, c->unsentBytes - c->unsentAt);
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) fail("connection %td: %s", c - connections, strerror(errno));
    c->unsentAt += (size_t)sent;
  }
  free(c->unsent);
  c->unsent = NULL;
  watch(EPOLL_CTL_MOD, c->fd, EPOLLIN, (uint32_t)(c - connections));
}

/* Sends the next batch; `startNs` is what latencies count from. False when there is none to send. */
static bool sendBatch(Connection *c, uint64_t startNs) {
  uint32_t count = options.pipeline;
  if (phase == DRAIN) return false;
  if (phase == PREFILL) {
    uint32_t left = options.keyCount - prefillAt;
    count = prefillDepth < left ? prefillDepth : left;
    if (count == 0) return false;
  } else if (options.mode == MODE_SLICES) {
    if (sliceLeft == 0) return false;
    if (count > sliceLeft) count = sliceLeft;
    sliceLeft -= count;
  }
  uint32_t mix = options.gets + options.sets;
  uint32_t opaque = c->firstOpaque + c->sent;
  uint8_t *end = writeBuffer;
  c->firstOpaque = opaque;
  bool isMulti = options.multi && phase != PREFILL;
  if (isMulti) end = (uint8_t *)memcpy(end, batchHead, batchHeadBytes) + batchHeadBytes;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t request = phase == PREFILL
                           ? prefillAt++ << 1 | 1
                           : randomBelow(options.keyCount) << 1 | (randomBelow(mix) < options.sets);
    c->batch[i] = request;
    end = appendRequest(end, request, opaque++);
  }
  if (isMulti) end = (uint8_t *)memcpy(end, batchTail, batchTailBytes) + batchTailBytes;
  c->sent = count;
  c->answered = 0;
  c->isMulti = isMulti;
  c->startNs = startNs;
  busyConnections++;
  size_t length = (size_t)(end - writeBuffer);
  c->startComputedNs = taskClockNs();
  ssize_t sent = sendBytes(c->fd, writeBuffer, length);
  if (sent < 0 && errno != EAGAIN) fail("connection %td: %s", c - connections, strerror(errno));
  if (sent < 0) sent = 0;
  if ((size_t)sent < length) {
    c->unsentAt = 0;
    c->unsentBytes = length - (size_t)sent;
    c->unsent = allocate(1, c->unsentBytes);
    memcpy(c->unsent, writeBuffer + sent, c->unsentBytes);
    watch(EPOLL_CTL_MOD, c->fd, EPOLLIN | EPOLLOUT, (uint32_t)(c - connections));
  }
  return true;
}

static void countReply(Connection *c, uint64_t *counter) {
  c->answered++;
  c->repliesSeen++;
  c->replyState = c->isMulti && c->answered == c->sent ? BATCH_END : HEAD;
  if (phase == MEASURE) {
    window.requests++;
    (*counter)++;
  }
}

/*
 * The status is one that a server may answer in sync: counted, shown once, and the run fails, unless
 * it is one that was to be expected.
 */
static void countError(Connection *c, uint32_t status) {
  static bool isShown;
  if (options.mayRefuse && status == STATUS_OUT_OF_MEMORY) {
    window.refusals++;
  } else {
    if (!isShown)
      fprintf(stderr, "load: connection %td: error status 0x%02x\n", c - connections, status);
    isShown = true;
    window.errors++;
  }
  c->answered++;
  c->replyState = HEAD;
  if (phase == MEASURE) window.requests++;
}

__attribute__((noreturn)) static void wrongReply(const Connection *c, const char *what,
                                                 const uint8_t *bytes, size_t length) {
  uint32_t request = c->batch[c->answered];
  fail("connection %td, reply %" PRIu64 " (a %s of key %u): %s: %s", c - connections,
       c->repliesSeen, (request & 1) != 0 ? "set" : "get", request >> 1, what,
       printable(bytes, length));
}

static void expectValue(Connection *c) {
  c->replyState = VALUE;
  c->valueAt = 0;
  c->bodyLeft = options.valueBytes;
  c->compareWhole = options.valueBytes <= SHORT_VALUE_BYTES || (c->repliesSeen & 15) == 0;
}

/* Checks one binary reply's head. Returns the bytes used, or NEED_MORE. */
static size_t parseBinaryHead(Connection *c, const uint8_t *at, size_t length) {
  if (length < HEADER_BYTES) return NEED_MORE;
  uint32_t request = c->batch[c->answered];
  bool isSet = (request & 1) != 0;
  uint32_t status = getU16(at + 6), bodyBytes = getU32(at + 8);
  if (at[0] != RESPONSE_MAGIC) wrongReply(c, "wrong magic", at, length);
  if (at[1] != (isSet ? OP_SET : OP_GET)) wrongReply(c, "wrong opcode", at, length);
  if (getU32(at + 12) != c->firstOpaque + c->answered) wrongReply(c, "wrong opaque", at, length);
  if (getU16(at + 2) != 0) wrongReply(c, "a key that was not asked for", at, length);
  if (status == STATUS_OK && isSet) {
    if (bodyBytes != 0 || at[4] != 0) wrongReply(c, "wrong length", at, length);
    countReply(c, &window.stores);
    return HEADER_BYTES;
  }
  if (status == STATUS_OK) {
    if (at[4] != 4 || bodyBytes != 4 + options.valueBytes)
      wrongReply(c, "wrong length", at, length);
    if (length < HEADER_BYTES + 4) return NEED_MORE;
    if (getU32(at + HEADER_BYTES) != flagsOf(request >> 1))
      wrongReply(c, "flags of another key", at, length);
    expectValue(c);
    return HEADER_BYTES + 4;
  }
  if (at[4] != 0 || bodyBytes > CARRY_BYTES) wrongReply(c, "wrong length", at, length);
  c->bodyLeft = bodyBytes;
  if (status == STATUS_NOT_FOUND && !isSet) countReply(c, &window.misses);
  else countError(c, status);
  c->replyState = bodyBytes > 0 ? SKIP : HEAD;
  return HEADER_BYTES;
}

/* As above, for text and meta: a reply is one of three known ones, compared byte for byte. */
static size_t parseTextHead(Connection *c, const uint8_t *at, size_t length) {
  uint32_t request = c->batch[c->answered];
  uint32_t opaque = c->firstOpaque + c->answered;
  uint8_t wanted[CARRY_BYTES];
  size_t wantedBytes;
  if ((request & 1) != 0) {
    if (options.dialect == TEXT) {
      memcpy(wanted, "STORED\r\n", wantedBytes = 8);
    } else {
      memcpy(wanted, "HD O00000000\r\n", wantedBytes = 14);
      putHex32(wanted + 4, opaque);
    }
  } else if (at[0] == 'E' && !c->isMulti) {
    memcpy(wanted, missReply, wantedBytes = missReplyBytes);
  } else {
    memcpy(wanted, hitTemplate(request >> 1), wantedBytes = hitHeadBytes);
    if (options.dialect == META) putHex32(wanted + hitOpaqueAt, opaque);
  }
  if (memcmp(at, wanted, length < wantedBytes ? length : wantedBytes) != 0)
    wrongReply(c, "unexpected line", at, length);
  if (length < wantedBytes) return NEED_MORE;
  if ((request & 1) != 0) countReply(c, &window.stores);
  else if (at[0] == 'E' && !c->isMulti) countReply(c, &window.misses);
  else expectValue(c);
  return wantedBytes;
}

static size_t checkValue(Connection *c, const uint8_t *at, size_t length) {
  const uint8_t *wanted = valueOf(c->batch[c->answered] >> 1) + c->valueAt;
  size_t piece = length < c->bodyLeft ? length : c->bodyLeft;
  bool isRight;
  if (c->compareWhole || piece <= 2 * SAMPLE_BYTES) {
    isRight = memcmp(at, wanted, piece) == 0;
  } else {
    size_t last = piece - SAMPLE_BYTES;
    isRight = memcmp(at, wanted, SAMPLE_BYTES) == 0 &&
              memcmp(at + last, wanted + last, SAMPLE_BYTES) == 0;
  }
  if (!isRight) wrongReply(c, "wrong value bytes", at, piece);
  c->valueAt += (uint32_t)piece;
  c->bodyLeft -= (uint32_t)piece;
  return piece;
}

static size_t parsePiece(Connection *c, const uint8_t *at, size_t length) {
  /* A value of no bytes ends where its head does: there is nothing to wait for. */
  bool isEmptyValue = c->replyState == VALUE && c->bodyLeft == 0;
  size_t used;
  if (length == 0 && !isEmptyValue) return NEED_MORE;
  switch (c->replyState) {
    case HEAD:
      return options.dialect == BINARY ? parseBinaryHead(c, at, length)
                                       : parseTextHead(c, at, length);
    case VALUE:
      used = checkValue(c, at, length);
      if (c->bodyLeft > 0) return used;
      if (hitTailBytes > 0) c->replyState = TAIL;
      else countReply(c, &window.hits);
      return used;
    case TAIL:
      if (length < hitTailBytes) return NEED_MORE;
      if (memcmp(at, hitTail, hitTailBytes) != 0) wrongReply(c, "wrong end", at, length);
      countReply(c, &window.hits);
      return hitTailBytes;
    case BATCH_END:
      if (length < batchEndBytes) return NEED_MORE;
      if (memcmp(at, batchEnd, batchEndBytes) != 0)
        fail("connection %td: wrong end of a batch: %s", c - connections, printable(at, length));
      c->replyState = HEAD;
      return batchEndBytes;
    default:
      used = length < c->bodyLeft ? length : c->bodyLeft;
      c->bodyLeft -= (uint32_t)used;
      if (c->bodyLeft == 0) c->replyState = HEAD;
      return used;
  }
}

static void readReplies(Connection *c) {
  uint8_t *start = readBuffer;
  if (c->carryBytes > 0) memcpy(start, c->carry, c->carryBytes);
  ssize_t got = receiveBytes(c->fd, start + c->carryBytes, READ_BYTES);
  if (got < 0 && errno == EAGAIN) return;
  if (got < 0) fail("connection %td: %s", c - connections, strerror(errno));
  if (got == 0)
    fail("connection %td: closed by the server, %u of %u replies came", c - connections,
         c->answered, c->sent);
  uint64_t now = nowNs();
  uint32_t answeredBefore = c->answered;
  size_t length = c->carryBytes + (size_t)got, at = 0;
  silentNs = 0;
  if (phase == MEASURE) window.bytesRead += (uint64_t)got;
  while (c->answered < c->sent || c->replyState != HEAD) {
    size_t used = parsePiece(c, start + at, length - at);
    if (used == NEED_MORE) break;
    at += used;
  }
  if (c->answered == c->sent && c->replyState == HEAD && at < length)
    fail("connection %td: more bytes than replies asked for: %s", c - connections,
         printable(start + at, length - at));
  c->carryBytes = (uint32_t)(length - at);
  if (c->carryBytes > CARRY_BYTES) wrongReply(c, "a head without end", start + at, c->carryBytes);
  if (c->carryBytes > 0) memcpy(c->carry, start + at, c->carryBytes);
  uint32_t answered = c->answered - answeredBefore;
  if (phase == MEASURE && answered > 0) {
    record(&latencies, now - c->startNs, answered);
    if (taskClockFd >= 0) record(&computed, taskClockNs() - c->startComputedNs, answered);
    if (gapNs > 0) recordSlowest(now - c->startNs, now - window.startNs);
  }
  if (c->answered < c->sent || c->replyState != HEAD) return;
  busyConnections--;
  if (gapNs > 0 && phase != PREFILL) {
    idleConnections[idleCount++] = (uint32_t)(c - connections);
    return;
  }
  sendBatch(c, now);
}

static void startAll(Connection *first) {
  uint64_t now = nowNs();
  for (uint32_t i = 0; i < options.connections; i++) sendBatch(&first[i], now);
}

static void sendDueBatches(int timerFd) {
  static bool isWaitingForTimer;
  uint64_t now = nowNs();
  if (isWaitingForTimer && phase == MEASURE && dueNs < now && now - dueNs > sendLateMaxNs)
    sendLateMaxNs = now - dueNs;
  while (dueNs <= now && idleCount > 0) {
    sendBatch(&connections[idleConnections[--idleCount]], dueNs);
    dueNs += gapNs;
  }
  isWaitingForTimer = idleCount > 0;
  /* With every connection busy the overdue batches wait, and their waiting counts as latency. */
  uint64_t next = dueNs > now ? dueNs - now : 1000000;
  struct itimerspec time = {.it_value = {.tv_sec = (time_t)(next / 1000000000u),
                                         .tv_nsec = (long)(next % 1000000000u)}};
  timerfd_settime(timerFd, 0, &time, NULL);
}

static void enterPhase(int next) {
  phase = next;
  if (next == WARMUP) {
    if (gapNs == 0) {
      startAll(connections);
    } else {
      dueNs = nowNs() + gapNs;
      idleCount = options.connections;
      for (uint32_t i = 0; i < idleCount; i++) idleConnections[i] = i;
    }
  }
  if (next == MEASURE) openWindow();
  if (next == DRAIN) closeWindow();
}

/* Of as many connections as there are in all: the buffers that they share, and room for each. */
static uint32_t prepareConnections(uint32_t count) {
  size_t setBytes = setHeadBytes + options.valueBytes + setTailBytes;
  prefillDepth = setBytes > READ_BYTES ? 1 : (uint32_t)(READ_BYTES / setBytes);
  if (prefillDepth > 64) prefillDepth = 64;
  uint32_t depth = options.pipeline > prefillDepth ? options.pipeline : prefillDepth;
  size_t requestBytes = (setBytes > getBytes ? setBytes : getBytes) + batchHeadBytes + batchTailBytes;
  readBuffer = allocate(1, READ_BYTES + CARRY_BYTES);
  writeBuffer = allocate(depth, requestBytes);
  connections = allocate(count, sizeof *connections);
  idleConnections = allocate(count, sizeof *idleConnections);
  return depth;
}

static void openConnection(uint32_t number, uint32_t user, uint32_t depth) {
  Connection *c = &connections[number];
  c->batch = allocate(depth, sizeof *c->batch);
  c->firstOpaque = number << 16;
  c->fd = openLoggedIn(number, user);
  watch(EPOLL_CTL_ADD, c->fd, EPOLLIN, number);
}

/* Takes what has come, after LOOK_MS at most. The event of this number, of a timer, only wakes. */
static void takeReplies(uint32_t timerNumber) {
  static struct epoll_event events[EVENTS_MAX];
  int ready = epoll_wait(epollFd, events, EVENTS_MAX, LOOK_MS);
  if (ready < 0 && errno != EINTR) fail("epoll: %s", strerror(errno));
  for (int i = 0; i < ready; i++) {
    uint32_t number = events[i].data.u32;
    if (number == timerNumber) continue;
    Connection *c = &connections[number];
    if ((events[i].events & EPOLLOUT) != 0 && c->unsent != NULL) flushUnsent(c);
    if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0) readReplies(c);
  }
  countSilence("connections");
}

static void runLoad(void) {
  uint32_t count = options.connections;
  int timerFd = -1;

  uint32_t depth = prepareConnections(count);
  rssBeforeKib = serverRssKib();
  for (uint32_t i = 0; i < count; i++) openConnection(i, i % options.userCount, depth);
  if (options.rate > 0) {
    gapNs = (uint64_t)(1e9 * options.pipeline / (double)options.rate);
    timerFd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    watch(EPOLL_CTL_ADD, timerFd, EPOLLIN | EPOLLET, count);
  }

  uint64_t phaseEndNs = 0;
  beginSilence();
  phase = PREFILL;
  if (options.prefill) startAll(connections);
  for (;;) {
    uint64_t now = nowNs();
    if (phase == PREFILL && busyConnections == 0) {
      enterPhase(WARMUP);
      phaseEndNs = now + (uint64_t)(options.warmupSeconds * 1e9);
    }
    if (phase == WARMUP && now >= phaseEndNs) {
      enterPhase(MEASURE);
      phaseEndNs = options.requests > 0 ? UINT64_MAX : now + (uint64_t)(options.seconds * 1e9);
    }
    if (phase == MEASURE &&
        (now >= phaseEndNs || (options.requests > 0 && window.requests >= options.requests)))
      enterPhase(DRAIN);
    if (phase == DRAIN && busyConnections == 0) break;
    if (gapNs > 0 && (phase == WARMUP || phase == MEASURE)) sendDueBatches(timerFd);
    takeReplies(count);
  }
}

/* ---- two servers that take turns ------------------------------------------------------------- */

/*
 * The same requests go to one side and then to the other, a turn each: one, other, other, one, and so on. What
 * the machine does for longer than a turn is in both, and what it does for less is in few of them.
 *
 * A turn ends when all is answered. The kernel books a thread's time when it goes to sleep, and tells
 * it of another process to the nanosecond, so it is read when the server has gone to sleep.
 */
/* However slow the machine is, there is something to compare. */
enum { SETTLE_NS = 100000, SETTLE_LOOKS_MAX = 20, PAIRS_MIN = 4 };

typedef struct {
  Connection *first;
  clockid_t cpuClock;
} Side;

static uint64_t cpuNsOf(const Side *side) {
  struct timespec time;
  if (clock_gettime(side->cpuClock, &time) != 0) fail("a server process is gone");
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t settledCpuNs(const Side *side) {
  struct timespec pause = {.tv_nsec = SETTLE_NS};
  uint64_t before, ns = UINT64_MAX;
  int looks = 0;
  do {
    before = ns;
    nanosleep(&pause, NULL);
    ns = cpuNsOf(side);
  } while (ns != before && ++looks < SETTLE_LOOKS_MAX);
  return ns;
}

static void runUntilIdle(void) {
  beginSilence();
  while (busyConnections > 0) takeReplies(UINT32_MAX);
}

static Turn takeTurn(Side *side) {
  uint64_t cpuNs = cpuNsOf(side), startNs = nowNs();
  sliceLeft = options.sliceRequests;
  startAll(side->first);
  runUntilIdle();
  uint64_t wallNs = nowNs() - startNs;
  return (Turn){.cpuNs = settledCpuNs(side) - cpuNs, .wallNs = wallNs};
}

/* Two turns with the same requests: the random choices of the second begin where those of the first did. */
static void takePair(Side *sides, int first, Turn *turns) {
  uint64_t choices = randomState;
  turns[first] = takeTurn(&sides[first]);
  randomState = choices;
  turns[!first] = takeTurn(&sides[!first]);
}

static Side openSide(const char *port, int pid, uint32_t firstNumber, uint32_t user,
                     uint32_t depth) {
  Side side = {.first = connections + firstNumber};
  if (clock_getcpuclockid(pid, &side.cpuClock) != 0) fail("server process %d is gone", pid);
  serverAddress = resolve(port);
  for (uint32_t i = 0; i < options.connections; i++) openConnection(firstNumber + i, user, depth);
  phase = PREFILL;
  prefillAt = 0;
  if (options.prefill) startAll(side.first);
  runUntilIdle();
  return side;
}

static void keepPair(const Turn *turns) {
  static size_t room;
  if (pairCount == room) {
    room = room == 0 ? 1024 : 2 * room;
    pairs = realloc(pairs, room * sizeof *pairs);
    if (pairs == NULL) failUsage("out of memory: %zu pairs of turns", room);
  }
  memcpy(pairs[pairCount++], turns, sizeof *pairs);
}

static void runSlices(void) {
  uint32_t depth = prepareConnections(2 * options.connections);
  rssBeforeKib = serverRssKib();
  uint32_t otherLogin = options.otherUser == NULL ? 0 : options.userCount;
  Side sides[2];
  Turn turns[2];
  sides[0] = openSide(options.port, options.serverPid, 0, 0, depth);
  sides[1] = openSide(options.otherPort, options.otherPid, options.connections, otherLogin, depth);
  phase = WARMUP;
  uint64_t endNs = nowNs() + (uint64_t)(options.warmupSeconds * 1e9);
  for (int first = 0; nowNs() < endNs; first = !first) takePair(sides, first, turns);
  enterPhase(MEASURE);
  endNs = window.startNs + (uint64_t)(options.seconds * 1e9);
  for (int first = 0;; first = !first) {
    bool isOver = options.requests > 0 ? window.requests >= options.requests : nowNs() >= endNs;
    if (isOver && pairCount >= PAIRS_MIN) break;
    takePair(sides, first, turns);
    keepPair(turns);
  }
  enterPhase(DRAIN);
}

/* ---- logins again and again ----------------------------------------------------------------- */

typedef struct {
  int fd;
  bool isListing;
  bool isShaking;
  uint32_t length;
  uint32_t user;
  uint64_t startNs;
  uint8_t reply[LOGIN_REPLY_BYTES];
} Attempt;

static uint64_t loginsStarted;

static void startAttempt(Attempt *a, uint32_t number) {
  a->fd = openSocket(SOCK_NONBLOCK);
  a->length = 0;
  a->isListing = options.listMechanisms;
  a->isShaking = options.tls;
  a->user = (uint32_t)(loginsStarted % options.userCount);
  if (options.sources > 1) {
    /* The port is chosen at connect, when the server's address is known, so that it may be one
       which is still in TIME_WAIT towards another address. */
    int on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET};
    uint32_t last = 1 + (uint32_t)(loginsStarted % options.sources);
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + last);
    setsockopt(a->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(a->fd, (struct sockaddr *)&source, sizeof source) != 0)
      fail("bind to 127.0.0.%u: %s", last, strerror(errno));
  }
  loginsStarted++;
  a->startNs = nowNs();
  busyConnections++;
  if (connect(a->fd, serverAddress->ai_addr, serverAddress->ai_addrlen) != 0 &&
      errno != EINPROGRESS)
    fail("connect to %s port %s: %s", options.host, options.port, strerror(errno));
  watch(EPOLL_CTL_ADD, a->fd, EPOLLOUT, number);
}

/* The requests are far smaller than an empty socket buffer, so a short send is a fault. */
static void sendLoginStep(Attempt *a) {
#ifdef WITH_TLS
  if (options.mode == MODE_HANDSHAKE) {
    sendAll(a->fd, versionRequest, sizeof versionRequest);
    return;
  }
#endif
  const uint8_t *bytes = a->isListing ? listRequest : loginRequests[a->user];
  size_t length = a->isListing ? sizeof listRequest : loginRequestBytes[a->user];
  if (sendBytes(a->fd, bytes, length) != (ssize_t)length)
    fail("cannot send a login: %s", strerror(errno));
}

/* True when the login is complete. */
static bool readLoginReply(Attempt *a) {
  ssize_t got = receiveBytes(a->fd, a->reply + a->length, sizeof a->reply - a->length);
  if (got < 0 && errno == EAGAIN) return false;
  if (got <= 0)
    fail("no reply to a login: %s", got == 0 ? "closed by the server" : strerror(errno));
  a->length += (uint32_t)got;
  if (options.mode == MODE_HANDSHAKE) {
    if (a->length < HEADER_BYTES || a->length < HEADER_BYTES + getU32(a->reply + 8)) return false;
    if (a->reply[0] != RESPONSE_MAGIC || a->reply[1] != OP_VERSION || getU16(a->reply + 6) != STATUS_OK)
      fail("a wrong reply to a version: %s", printable(a->reply, a->length));
    return true;
  }
  size_t used = loginReplyBytes(a->reply, a->length, a->isListing ? OP_LIST_MECHS : OP_AUTH,
                                a->isListing ? LIST_OPAQUE : LOGIN_OPAQUE);
  if (used == 0) return false;
  if (used < a->length)
    fail("more than one reply to a login: %s", printable(a->reply, a->length));
  a->length = 0;
  if (!a->isListing) return true;
  a->isListing = false;
  sendLoginStep(a);
  return false;
}

static void runLogins(void) {
  struct epoll_event events[EVENTS_MAX];
  uint32_t count = options.connections;
  Attempt *attempts = allocate(count, sizeof *attempts);
  uint64_t phaseEndNs = nowNs() + (uint64_t)(options.warmupSeconds * 1e9);
  uint64_t startedInWindow = 0;

  rssBeforeKib = serverRssKib();
  beginSilence();
  phase = WARMUP;
  if (options.warmupSeconds == 0) {
    phase = MEASURE;
    openWindow();
    phaseEndNs = window.startNs + (uint64_t)(options.seconds * 1e9);
  }
  for (uint32_t i = 0; i < count; i++) {
    startAttempt(&attempts[i], i);
    if (phase == MEASURE) startedInWindow++;
  }
  while (busyConnections > 0) {
    uint64_t now = nowNs();
    if (phase == WARMUP && now >= phaseEndNs) {
      enterPhase(MEASURE);
      startedInWindow = busyConnections;
      phaseEndNs = now + (uint64_t)(options.seconds * 1e9);
    }
    if (phase == MEASURE && (options.requests > 0 ? window.requests >= options.requests
                                                  : now >= phaseEndNs))
      enterPhase(DRAIN);
    int ready = epoll_wait(epollFd, events, EVENTS_MAX, LOOK_MS);
    if (ready < 0 && errno != EINTR) fail("epoll: %s", strerror(errno));
    for (int i = 0; i < ready; i++) {
      Attempt *a = &attempts[events[i].data.u32];
#ifdef WITH_TLS
      if (a->isShaking) {
        if (tlsOf[a->fd] == NULL) {
          beginTls(a->fd);
          watch(EPOLL_CTL_MOD, a->fd, EPOLLIN, events[i].data.u32);
        }
        if (shakeHands(a->fd) == 0) continue;
        a->isShaking = false;
        sendLoginStep(a);
        continue;
      }
#endif
      if ((events[i].events & EPOLLOUT) != 0 && (events[i].events & (EPOLLERR | EPOLLHUP)) == 0) {
        sendLoginStep(a);
        watch(EPOLL_CTL_MOD, a->fd, EPOLLIN, events[i].data.u32);
        continue;
      }
      if (!readLoginReply(a)) continue;
      silentNs = 0;
      if (phase == MEASURE) {
        record(&latencies, nowNs() - a->startNs, 1);
        window.requests++;
      }
      closeSocket(a->fd);
      busyConnections--;
      if (phase == DRAIN) continue;
      if (phase == MEASURE && options.requests > 0 && startedInWindow >= options.requests) continue;
      startedInWindow++;
      startAttempt(a, events[i].data.u32);
    }
    countSilence("logins");
  }
  if (phase == MEASURE) closeWindow();
}

/* ---- connections that only wait -------------------------------------------------------------- */

static void runIdle(void) {
  uint32_t count = options.connections;
  struct epoll_event event;
  rssBeforeKib = serverRssKib();
  for (uint32_t i = 0; i < count; i++) {
    int fd = openLoggedIn(i, i % options.userCount);
    watch(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP, i);
  }
  openWindow();
  if (epoll_wait(epollFd, &event, 1, (int)(options.seconds * 1000)) > 0)
    fail("connection %u: the server wrote or closed on an idle connection", event.data.u32);
  closeWindow();
}

/* ---- options --------------------------------------------------------------------------------- */

static uint64_t parseCount(const char *name, const char *text, uint64_t least, uint64_t most) {
  char *end;
  errno = 0;
  uint64_t value = strtoull(text, &end, 10);
  if (errno != 0 || *end != 0 || end == text || *text == '-' || value < least || value > most)
    failUsage("--%s %s: not a whole number from %" PRIu64 " to %" PRIu64, name, text, least, most);
  return value;
}

static double parseSeconds(const char *name, const char *text) {
  char *end;
  double value = strtod(text, &end);
  if (*end != 0 || end == text || !(value >= 0 && value <= 86400))
    failUsage("--%s %s: not a number of seconds", name, text);
  return value;
}

static int parseChoice(const char *name, const char *text, const char *const *choices) {
  for (int i = 0; choices[i] != NULL; i++)
    if (strcmp(text, choices[i]) == 0) return i;
  char known[128] = "";
  for (int i = 0; choices[i] != NULL; i++) {
    size_t used = strlen(known);
    snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ", choices[i]);
  }
  failUsage("--%s %s: not one of %s", name, text, known);
}

static void parseRatio(const char *text) {
  char rest;
  if (sscanf(text, "%u:%u%c", &options.gets, &options.sets, &rest) != 2 ||
      options.gets > 1000000 || options.sets > 1000000 || options.gets + options.sets == 0)
    failUsage("--ratio %s: not of the form GETS:SETS", text);
}

static void parseOptions(int argc, char **argv) {
  static const char *const MODES[] = {"load", "login", "idle", "handshake", "slices", NULL};
  static const char *const DIALECTS[] = {"binary", "text", "meta", NULL};
  static const struct option LONG[] = {
      {"host", 1, 0, 'h'},        {"port", 1, 0, 'p'},        {"mode", 1, 0, 'm'},
      {"dialect", 1, 0, 'd'},     {"connections", 1, 0, 'c'}, {"pipeline", 1, 0, 'P'},
      {"value-bytes", 1, 0, 'v'}, {"key-bytes", 1, 0, 'k'},   {"keys", 1, 0, 'n'},
      {"ratio", 1, 0, 'r'},       {"seconds", 1, 0, 's'},     {"requests", 1, 0, 'q'},
      {"warmup", 1, 0, 'w'},      {"rate", 1, 0, 'R'},        {"prefill", 0, 0, 'f'},
      {"misses-fail", 0, 0, 'x'}, {"user", 1, 0, 'u'},        {"password", 1, 0, 'W'},
      {"user-count", 1, 0, 'U'},  {"list", 0, 0, 'l'},        {"sources", 1, 0, 'S'},
      {"server-pid", 1, 0, 'i'},  {"stall-limit", 1, 0, 't'}, {"seed", 1, 0, 'e'},
      {"multi", 0, 0, 'M'},       {"may-refuse", 0, 0, 'y'},  {"help", 0, 0, 'H'},
      {"tls", 0, 0, 'T'},         {"resume", 0, 0, 'Z'},      {"server-thread", 1, 0, 'I'},
      {"other-port", 1, 0, 'o'},  {"other-pid", 1, 0, 'O'},   {"other-user", 1, 0, 'V'},
      {"slice-requests", 1, 0, 'N'},
      {0, 0, 0, 0},
  };
  int letter, index = 0;
  while ((letter = getopt_long(argc, argv, "", LONG, &index)) != -1) {
    const char *name = letter == '?' ? "" : LONG[index].name;
    switch (letter) {
      case 'h': options.host = optarg; break;
      case 'p': options.port = optarg; break;
      case 'm': options.mode = parseChoice(name, optarg, MODES); break;
      case 'd': options.dialect = parseChoice(name, optarg, DIALECTS); break;
      case 'c': options.connections = (uint32_t)parseCount(name, optarg, 1, 65535); break;
      case 'P': options.pipeline = (uint32_t)parseCount(name, optarg, 1, PIPELINE_MAX); break;
      case 'v': options.valueBytes = (uint32_t)parseCount(name, optarg, 0, 1 << 30); break;
      case 'k': options.keyBytes = (uint32_t)parseCount(name, optarg, 16, KEY_BYTES_MAX); break;
      case 'n': options.keyCount = (uint32_t)parseCount(name, optarg, 1, 1000000000); break;
      case 'r': parseRatio(optarg); break;
      case 's': options.seconds = parseSeconds(name, optarg); break;
      case 'q': options.requests = parseCount(name, optarg, 1, UINT64_MAX / 2); break;
      case 'w': options.warmupSeconds = parseSeconds(name, optarg); break;
      case 'R': options.rate = parseCount(name, optarg, 1, 1000000000); break;
      case 'f': options.prefill = true; break;
      case 'x': options.missesFail = true; break;
      case 'y': options.mayRefuse = true; break;
      case 'u': options.user = optarg; break;
      case 'W': options.password = optarg; break;
      case 'U': options.userCount = (uint32_t)parseCount(name, optarg, 1, 1000000); break;
      case 'l': options.listMechanisms = true; break;
      case 'S': options.sources = (uint32_t)parseCount(name, optarg, 1, 250); break;
      case 'i': options.serverPid = (int)parseCount(name, optarg, 1, INT32_MAX); break;
      case 'I': options.serverThread = (int)parseCount(name, optarg, 1, INT32_MAX); break;
      case 'o': options.otherPort = optarg; break;
      case 'O': options.otherPid = (int)parseCount(name, optarg, 1, INT32_MAX); break;
      case 'V': options.otherUser = optarg; break;
      case 'N': options.sliceRequests = (uint32_t)parseCount(name, optarg, 1, 1000000000); break;
      case 't': options.stallSeconds = parseSeconds(name, optarg); break;
      case 'M': options.multi = true; break;
      case 'T': options.tls = true; break;
      case 'Z': options.resume = true; break;
      case 'e': options.seed = parseCount(name, optarg, 0, UINT64_MAX / 2); break;
      case 'H': fputs(USAGE, stdout); exit(0);
      default: exit(EXIT_USAGE);
    }
  }
  if (optind < argc) failUsage("unexpected argument %s", argv[optind]);
  if ((options.user == NULL) != (options.password == NULL))
    failUsage("--user and --password go together");
  if (options.mode == MODE_LOGIN && options.user == NULL) failUsage("--mode login needs --user");
  if (options.listMechanisms && options.dialect != BINARY) failUsage("--list is for binary only");
  if (options.multi && (options.dialect == BINARY || options.sets > 0))
    failUsage("--multi is for gets only (--ratio 1:0) in text or meta");
#ifndef WITH_TLS
  if (options.tls) failUsage("--tls takes a generator that was compiled with it (WITH_TLS)");
#endif
  if (options.mode == MODE_HANDSHAKE && !options.tls) failUsage("--mode handshake needs --tls");
  if (options.resume && options.mode != MODE_HANDSHAKE)
    failUsage("--resume is for --mode handshake only");
  bool hasBoth = options.otherPort != NULL && options.otherPid > 0 && options.serverPid > 0;
  if (options.mode == MODE_SLICES && !hasBoth)
    failUsage("--mode slices needs --server-pid, --other-port and --other-pid");
  if (options.mode == MODE_SLICES && (options.rate > 0 || options.userCount > 1))
    failUsage("--rate and --user-count are not for --mode slices");
  if (options.otherUser != NULL && (options.mode != MODE_SLICES || options.user == NULL))
    failUsage("--other-user is for --mode slices with --user");
  if (options.stallSeconds < 1) failUsage("--stall-limit is at least 1");
}

int main(int argc, char **argv) {
  parseOptions(argc, argv);
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max != RLIM_INFINITY && files.rlim_max < options.connections + 16)
      failUsage("--connections %u: this process may open %" PRIu64 " files", options.connections,
                (uint64_t)files.rlim_max);
  }
  openTaskClock();
  randomState = options.seed * 0x9e3779b97f4a7c15ULL + 0x853c49e6748fea9bULL;
  serverAddress = resolve(options.port);
  if (serverAddress->ai_family != AF_INET ||
      ntohl(((struct sockaddr_in *)serverAddress->ai_addr)->sin_addr.s_addr) >> 24 != 127)
    options.sources = 1;
  epollFd = epoll_create1(EPOLL_CLOEXEC);
  if (epollFd < 0) fail("epoll: %s", strerror(errno));
  buildLogins();
#ifdef WITH_TLS
  if (options.tls) openTls();
#endif
  if (options.mode == MODE_LOAD) {
    buildTemplates();
    runLoad();
  } else if (options.mode == MODE_SLICES) {
    buildTemplates();
    runSlices();
  } else if (options.mode != MODE_IDLE) {
    runLogins();
  } else {
    runIdle();
  }
  printReport();
#ifdef WITH_TLS
  if (options.resume && tlsResumed < window.requests * 9 / 10)
    fail("%" PRIu64 " of %" PRIu64 " sessions were resumed", tlsResumed, window.requests);
#endif
  if (window.errors > 0) fail("%" PRIu64 " requests were answered with an error", window.errors);
  if (options.missesFail && window.misses > 0)
    fail("%" PRIu64 " gets missed a key that was set", window.misses);
  return 0;
}
