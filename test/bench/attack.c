/*
 * What a stranger can send to a server, at a bounded rate: one thread, epoll, non-blocking sockets. It
 * never logs in and verifies nothing; what it does to others is measured beside it (strangers.mjs).
 *
 * Its invariant: it stays within its bounds, whatever the server does. Never more than --connections
 * at once, never more than --rate events a second, and what it could not do in time it leaves out
 * rather than making up for it. So a slow server is sent less, not more at once.
 *
 * Events are new connections for attacks that come and go, and pieces sent for those that stay. Linux
 * only (epoll).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum { HEADER_BYTES = 24, PAYLOAD_BYTES_MAX = 70000, READ_BYTES = 256 * 1024, EVENTS_MAX = 256 };
enum { OP_VERSION = 0x0b, OP_LIST_MECHS = 0x20, OP_AUTH = 0x21 };
/* How long a connection waits for an answer, and how far behind its rate the program makes up. */
static const uint64_t ANSWER_LIMIT_NS = 1000000000u;
static const uint64_t BEHIND_LIMIT_NS = 20000000u;
/* When the rest of a held request is sent: past the first block that a server may have taken for it. */
static const uint64_t REST_AFTER_NS = 100000000u;

static uint8_t payload[PAYLOAD_BYTES_MAX];
static size_t payloadBytes;
static uint64_t serial;

static void putHeader(uint8_t *at, uint8_t opcode, uint32_t keyBytes, uint32_t bodyBytes) {
  memset(at, 0, HEADER_BYTES);
  at[0] = 0x80;
  at[1] = opcode;
  at[2] = (uint8_t)(keyBytes >> 8);
  at[3] = (uint8_t)keyBytes;
  uint32_t big = htonl(bodyBytes);
  memcpy(at + 8, &big, 4);
}

static void putAuth(const char *mechanism, const uint8_t *message, size_t length) {
  size_t nameBytes = strlen(mechanism);
  putHeader(payload, OP_AUTH, (uint32_t)nameBytes, (uint32_t)(nameBytes + length));
  memcpy(payload + HEADER_BYTES, mechanism, nameBytes);
  memcpy(payload + HEADER_BYTES + nameBytes, message, length);
  payloadBytes = HEADER_BYTES + nameBytes + length;
}

static void putRepeated(const void *bytes, size_t length, int count) {
  for (int i = 0; i < count; i++) memcpy(payload + (size_t)i * length, bytes, length);
  payloadBytes = length * (size_t)count;
}

static void makeNothing(void) { payloadBytes = 0; }

static void makeHalfRequest(void) {
  int head = sprintf((char *)payload, "set login 0 0 65536\r\n");
  memset(payload + head, 'x', 65536);
  payloadBytes = (size_t)head + 65536;
}

static void makePlain(void) {
  uint8_t message[64];
  int length = sprintf((char *)message, "%cbench%cwrong%" PRIu64, 0, 0, serial);
  putAuth("PLAIN", message, (size_t)length);
}

/* As many as a connection may have fail, and more, before the first is answered. */
static void makePipelined(void) {
  enum { LOGINS = 20 };
  static uint8_t logins[PAYLOAD_BYTES_MAX];
  size_t length = 0;
  /* It also says whose turn it is among the sources. */
  const uint64_t connection = serial;
  for (uint64_t i = 0; i < LOGINS; i++) {
    serial = connection * LOGINS + i;
    makePlain();
    memcpy(logins + length, payload, payloadBytes);
    length += payloadBytes;
  }
  serial = connection;
  memcpy(payload, logins, length);
  payloadBytes = length;
}

static void makeText(void) {
  char words[64];
  int length = sprintf(words, "bench wrong%" PRIu64, serial);
  payloadBytes = (size_t)sprintf((char *)payload, "set auth 0 0 %d\r\n%s\r\n", length, words);
}

/* A line of anything but line ends; one in four begins as a binary request does. */
static void makeGarbage(void) {
  uint64_t state = serial * 0x9e3779b97f4a7c15u + 1;
  payloadBytes = 200;
  for (size_t i = 0; i < payloadBytes; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    payload[i] = (uint8_t)(state >> 56);
    if (payload[i] == '\n') payload[i] = 'n';
  }
  if (serial % 4 == 0) payload[0] = 0x80;
  memcpy(payload + payloadBytes - 2, "\r\n", 2);
}

static void makeScram(void) {
  uint8_t message[64];
  int length = sprintf((char *)message, "n,,n=bench,r=nonce%" PRIu64, serial);
  putAuth("SCRAM-SHA-256", message, (size_t)length);
}

/* Names that take SASLprep longest: what must be mapped and normalised, in every character. */
static void makeLongName(void) {
  static const char *const LETTERS[] = {"\xc3\xa9", "\xef\xbc\xa1", "\xe2\x84\xa6", "\xc3\x85"};
  uint8_t message[2100];
  size_t at = (size_t)sprintf((char *)message, "n,,n=%06" PRIu64, serial % 1000000);
  for (size_t end = at + 1000; at < end;) {
    const char *letter = LETTERS[(at + serial) % 4];
    size_t length = strlen(letter);
    memcpy(message + at, letter, length);
    at += length;
  }
  at += (size_t)sprintf((char *)message + at, ",r=nonce%" PRIu64, serial);
  putAuth("SCRAM-SHA-256", message, at);
}

static void makeVersions(void) {
  uint8_t frame[HEADER_BYTES];
  putHeader(frame, OP_VERSION, 0, 0);
  putRepeated(frame, sizeof frame, 50);
}

static void makeLists(void) {
  uint8_t frame[HEADER_BYTES];
  putHeader(frame, OP_LIST_MECHS, 0, 0);
  putRepeated(frame, sizeof frame, 50);
}

static void makeUnknown(void) { putRepeated("unknown\r\n", 9, 50); }

/*
 * The hello of a TLS 1.3 client, with a key share of its own, to which a server makes one and signs: the most
 * that it can be made to do for so few bytes. Behind it stand two bytes more, which an attack that holds
 * a request back never sends.
 */
static void makeHello(void) {
  static const uint8_t HEAD[] = {0x16, 3, 1, 0, 114, 1, 0, 0, 110, 3, 3};
  static const uint8_t MIDDLE[] = {0, 0, 2, 0x13, 1, 1, 0, 0, 67};
  static const uint8_t EXTENSIONS[] = {0, 43, 0, 3,  2, 3, 4,    0, 10, 0, 4, 0,  2, 0,  29, 0, 13,
                                       0, 6,  0, 4,  4, 3, 8,    4, 0,  51, 0, 38, 0, 36, 0,  29, 0, 32};
  uint8_t *at = payload;
  memcpy(at, HEAD, sizeof HEAD);
  at += sizeof HEAD;
  uint64_t state = serial * 0x9e3779b97f4a7c15u + 1;
  for (int i = 0; i < 64; i++) {
    if (i == 32) {
      memcpy(at, MIDDLE, sizeof MIDDLE);
      memcpy(at + sizeof MIDDLE, EXTENSIONS, sizeof EXTENSIONS);
      at += sizeof MIDDLE + sizeof EXTENSIONS;
    }
    state = state * 6364136223846793005u + 1442695040888963407u;
    *at++ = (uint8_t)(state >> 56);
  }
  payloadBytes = (size_t)(at - payload);
}

static void makeHelloAndMore(void) {
  makeHello();
  memcpy(payload + payloadBytes, "\x14\x03", 2);
  payloadBytes += 2;
}

/* In single bytes; see sendPiece. */
static void makeBytes(void) {
  int head = sprintf((char *)payload, "set login 0 0 4000\r\n");
  memset(payload + head, 'x', 4000);
  payloadBytes = (size_t)head + 4000;
}

enum Kind {
  COMES_AND_GOES, /* connect, send the payload, leave */
  ASKS,           /* the same, but wait for an answer first */
  GATHERS,        /* the same, but wait until all have been answered, and leave together */
  SPOILS,         /* the same, but say together what nobody can decrypt, and leave when that has ended them */
  HOLDS,          /* connect, send the payload, stay */
  STREAMS,        /* connect, send the payload again and again, read the answers */
  NEVER_READS,    /* the same, and do not read them */
  TRICKLES,       /* connect, send one byte of the payload after the other */
};

static const struct Attack {
  const char *name;
  enum Kind kind;
  void (*make)(void);
} ATTACKS[] = {
    {"connects", COMES_AND_GOES, makeNothing},  {"silent", HOLDS, makeNothing},
    {"half-requests", HOLDS, makeHalfRequest},  {"wrong-passwords", ASKS, makePlain},
    {"pipelined-logins", ASKS, makePipelined},  {"text-passwords", ASKS, makeText},
    {"abandoned-scram", ASKS, makeScram},       {"long-names", ASKS, makeLongName},
    {"garbage", ASKS, makeGarbage},
    {"versions", STREAMS, makeVersions},        {"mechanism-lists", STREAMS, makeLists},
    {"unknown-commands", STREAMS, makeUnknown}, {"slow-readers", NEVER_READS, makeVersions},
    {"byte-by-byte", TRICKLES, makeBytes},      {"churn", COMES_AND_GOES, makeHalfRequest},
    {"tls-hellos", ASKS, makeHello},            {"tls-half-hellos", HOLDS, makeHello},
    {"tls-silent", HOLDS, makeHelloAndMore},    {"tls-drops", GATHERS, makeHello},
    {"tls-garbage", SPOILS, makeHello},
};

/* A record of data with nothing that was encrypted. */
static const uint8_t GARBAGE[37] = {0x17, 3, 3, 0, 32};

typedef struct {
  int fd; /* -1: free */
  bool isConnected, isAnswered, hasSpoken;
  size_t sentBytes;
  uint64_t openedNs;
} Connection;

static const struct Attack *attack;
static Connection *connections;
static uint32_t connectionMax = 100, sourceCount = 1, rate = 1000, portNumber = 11211;
static double secondsMax = 60;
static uint32_t openCount, nextConnection;
static uint64_t eventCount, connectedCount, cutCount, sentBytesSum, readBytesSum;
static int epollFd;
static uint8_t readBuffer[READ_BYTES];
static volatile sig_atomic_t isOver;

static void stop(int signal) {
  (void)signal;
  isOver = 1;
}

static uint64_t nowNs(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* A reset leaves no port waiting; every other connection of an attack that comes and goes says goodbye. */
static void closeConnection(Connection *c) {
  bool saysGoodbye = attack->kind == COMES_AND_GOES && (c->openedNs & 1) != 0 && payloadBytes > 0;
  if (!saysGoodbye) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  }
  close(c->fd);
  c->fd = -1;
  openCount--;
}

static void watch(Connection *c, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u32 = (uint32_t)(c - connections)};
  epoll_ctl(epollFd, EPOLL_CTL_MOD, c->fd, &event);
}

/* False when there is no port or file for it: that is a bound of the machine, and the event is lost. */
static bool openConnection(Connection *c, uint64_t now) {
  int on = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  /* A small window: what is not read piles up in the server, not in the kernel. */
  int windowBytes = 4096;
  if (attack->kind == NEVER_READS)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &windowBytes, sizeof windowBytes);
  struct sockaddr_in source = {.sin_family = AF_INET};
  source.sin_addr.s_addr = htonl(0x7f000001u + (uint32_t)(serial % sourceCount));
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)portNumber)};
  server.sin_addr.s_addr = htonl(0x7f000001u);
  serial++;
  if (bind(fd, (struct sockaddr *)&source, sizeof source) != 0 ||
      (connect(fd, (struct sockaddr *)&server, sizeof server) != 0 && errno != EINPROGRESS)) {
    close(fd);
    return false;
  }
  *c = (Connection){.fd = fd, .openedNs = now};
  openCount++;
  struct epoll_event event = {.events = EPOLLOUT, .data.u32 = (uint32_t)(c - connections)};
  epoll_ctl(epollFd, EPOLL_CTL_ADD, fd, &event);
  return true;
}

/* Sends up to `length` bytes of the payload from where the connection stands. */
static void sendSome(Connection *c, size_t length) {
  size_t left = payloadBytes - c->sentBytes;
  ssize_t sent = send(c->fd, payload + c->sentBytes, length < left ? length : left, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno == EAGAIN) return;
    cutCount++;
    closeConnection(c);
    return;
  }
  c->sentBytes += (size_t)sent;
  sentBytesSum += (uint64_t)sent;
}

/* One event of an attack that stays, on the connection whose turn it is. */
static void sendPiece(Connection *c) {
  if (c->sentBytes == payloadBytes) c->sentBytes = 0;
  sendSome(c, attack->kind == TRICKLES ? 1 : payloadBytes);
}

static void connected(Connection *c) {
  c->isConnected = true;
  connectedCount++;
  bool reads = attack->kind != NEVER_READS && attack->kind != COMES_AND_GOES;
  watch(c, reads ? EPOLLIN | EPOLLRDHUP : 0);
  if (attack->kind == STREAMS || attack->kind == NEVER_READS || attack->kind == TRICKLES) return;
  /* All but the last byte of a held request, which a server that waits for it could act upon. */
  if (attack->kind >= ASKS && attack->kind <= SPOILS) attack->make();
  if (payloadBytes > 0) sendSome(c, attack->kind == HOLDS ? payloadBytes - 100 : payloadBytes);
  if (attack->kind == COMES_AND_GOES && c->fd >= 0) closeConnection(c);
}

static void readable(Connection *c) {
  ssize_t got = recv(c->fd, readBuffer, sizeof readBuffer, 0);
  if (got > 0) readBytesSum += (uint64_t)got;
  else if (got == 0 || errno != EAGAIN) {
    cutCount++;
    closeConnection(c);
    return;
  }
  c->isAnswered = true;
  if (attack->kind == ASKS) closeConnection(c);
}

/* Once all of them have been answered, or have waited for as long as any does. */
static void leaveTogether(uint64_t now) {
  uint64_t youngestNs = 0;
  uint32_t answered = 0;
  for (uint32_t i = 0; i < connectionMax; i++) {
    if (connections[i].fd < 0) return;
    if (connections[i].isAnswered) answered++;
    if (connections[i].openedNs > youngestNs) youngestNs = connections[i].openedNs;
  }
  if (answered < connectionMax && now - youngestNs < ANSWER_LIMIT_NS) return;
  for (uint32_t i = 0; i < connectionMax; i++) {
    Connection *c = connections + i;
    if (attack->kind == GATHERS || c->hasSpoken || !c->isConnected) closeConnection(c);
    else {
      c->hasSpoken = true;
      c->isAnswered = false;
      ssize_t sent = send(c->fd, GARBAGE, sizeof GARBAGE, MSG_NOSIGNAL);
      if (sent > 0) sentBytesSum += (uint64_t)sent;
    }
  }
}

static Connection *freeConnection(void) {
  for (uint32_t i = 0; i < connectionMax; i++)
    if (connections[i].fd < 0) return connections + i;
  return NULL;
}

/* One event; false when nothing is to be done now. */
static bool actOnce(uint64_t now) {
  if (openCount < connectionMax) return openConnection(freeConnection(), now);
  if (attack->kind == GATHERS || attack->kind == SPOILS) leaveTogether(now);
  if (attack->kind <= HOLDS) return false;
  for (uint32_t tries = 0; tries < connectionMax; tries++) {
    Connection *c = connections + nextConnection++ % connectionMax;
    if (c->fd < 0 || !c->isConnected) continue;
    sendPiece(c);
    return true;
  }
  return false;
}

static void sweep(uint64_t now) {
  for (uint32_t i = 0; i < connectionMax; i++) {
    Connection *c = connections + i;
    if (c->fd < 0) continue;
    uint64_t age = now - c->openedNs;
    bool isOld = attack->kind <= ASKS ? age > ANSWER_LIMIT_NS : !c->isConnected && age > ANSWER_LIMIT_NS;
    if (isOld) closeConnection(c);
    else if (attack->kind == HOLDS && c->isConnected && payloadBytes > 0 && age > REST_AFTER_NS &&
             c->sentBytes < payloadBytes)
      sendSome(c, payloadBytes - 2 - c->sentBytes);
  }
}

static uint32_t number(const char *name, const char *text, uint32_t most) {
  char *end;
  unsigned long value = strtoul(text, &end, 10);
  if (*end != 0 || end == text || value < 1 || value > most) {
    fprintf(stderr, "attack: --%s %s: not a whole number from 1 to %u\n", name, text, most);
    exit(2);
  }
  return (uint32_t)value;
}

int main(int argc, char **argv) {
  static const struct option LONG[] = {{"port", 1, 0, 'p'},        {"attack", 1, 0, 'a'},
                                       {"connections", 1, 0, 'c'}, {"sources", 1, 0, 's'},
                                       {"rate", 1, 0, 'r'},        {"seconds", 1, 0, 't'},
                                       {0, 0, 0, 0}};
  int letter, index = 0;
  while ((letter = getopt_long(argc, argv, "", LONG, &index)) != -1) {
    switch (letter) {
      case 'p': portNumber = number("port", optarg, 65535); break;
      case 'c': connectionMax = number("connections", optarg, 10000); break;
      case 's': sourceCount = number("sources", optarg, 250); break;
      case 'r': rate = number("rate", optarg, 1000000); break;
      case 't': secondsMax = strtod(optarg, NULL); break;
      case 'a':
        for (size_t i = 0; i < sizeof ATTACKS / sizeof *ATTACKS; i++)
          if (strcmp(ATTACKS[i].name, optarg) == 0) attack = ATTACKS + i;
        break;
      default: exit(2);
    }
  }
  if (attack == NULL) {
    fputs("attack: --attack is one of", stderr);
    for (size_t i = 0; i < sizeof ATTACKS / sizeof *ATTACKS; i++)
      fprintf(stderr, " %s", ATTACKS[i].name);
    fputc('\n', stderr);
    return 2;
  }
  struct rlimit files = {0};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  epollFd = epoll_create1(EPOLL_CLOEXEC);
  connections = calloc(connectionMax, sizeof *connections);
  if (epollFd < 0 || connections == NULL) return 2;
  for (uint32_t i = 0; i < connectionMax; i++) connections[i].fd = -1;
  attack->make();

  uint64_t startNs = nowNs(), now = startNs, dueNs = startNs, sweptNs = startNs;
  uint64_t gapNs = 1000000000u / rate;
  uint64_t endNs = startNs + (uint64_t)(secondsMax * 1e9);
  static struct epoll_event events[EVENTS_MAX];
  while (!isOver && now < endNs) {
    int count = epoll_wait(epollFd, events, EVENTS_MAX, 1);
    for (int i = 0; i < count; i++) {
      Connection *c = connections + events[i].data.u32;
      if (c->fd < 0) continue;
      if ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0) {
        if (c->isConnected) cutCount++;
        closeConnection(c);
      } else if (!c->isConnected) connected(c);
      else if ((events[i].events & (EPOLLIN | EPOLLRDHUP)) != 0) readable(c);
    }
    now = nowNs();
    if (now > dueNs + BEHIND_LIMIT_NS) dueNs = now - BEHIND_LIMIT_NS;
    for (; dueNs <= now; dueNs += gapNs)
      if (actOnce(now)) eventCount++;
    if (now - sweptNs > 20000000u) {
      sweep(now);
      sweptNs = now;
    }
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double seconds = (double)(nowNs() - startNs) / 1e9;
  double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  printf("{\"seconds\":%.3f,\"events\":%" PRIu64 ",\"connected\":%" PRIu64 ",\"cut\":%" PRIu64
         ",\"open\":%u,\"bytesSent\":%" PRIu64 ",\"bytesRead\":%" PRIu64 ",\"cpuShare\":%.4f}\n",
         seconds, eventCount, connectedCount, cutCount, openCount, sentBytesSum, readBytesSum,
         cpu / seconds);
  return 0;
}
