/*
 * libsasl2 as a client, without a network: one login, its messages as lines, in hexadecimal digits.
 * Whoever starts it carries them to a server, and says what the TLS connection between them exports.
 *
 *   environment                        what it is
 *   CLIENT_MECHANISMS                  the server's list
 *   CLIENT_USER, CLIENT_PASSWORD       of the login
 *   CLIENT_AUTHZID                     whom to act for; empty: nobody is named
 *   CLIENT_EXTERNAL                    who the client is known as outside SASL; empty: nobody
 *   CLIENT_BINDING, CLIENT_BOUND       type of the channel binding, and its data in hexadecimal digits
 *
 *   it prints                          it reads
 *   start MECHANISM HEX | start MECHANISM   (its initial response; without HEX there is none)
 *   refused REASON                     (nothing was sent; the end)
 *                                      challenge HEX
 *   step HEX
 *   broken REASON                      (it does not take the challenge; the end)
 *                                      anything else: the end
 */
#include <sasl/sasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES_MAX 65536

static const char *variable(const char *name) {
  const char *value = getenv(name);
  return value == NULL ? "" : value;
}

static int simple(void *context, int id, const char **result, unsigned *length) {
  (void)context;
  *result = variable(id == SASL_CB_USER ? "CLIENT_AUTHZID" : "CLIENT_USER");
  if (length != NULL) *length = strlen(*result);
  return SASL_OK;
}

static int password(sasl_conn_t *connection, void *context, int id, sasl_secret_t **secret) {
  const char *text = variable("CLIENT_PASSWORD");
  (void)connection, (void)context, (void)id;
  *secret = calloc(1, sizeof **secret + strlen(text));
  if (*secret == NULL) return SASL_NOMEM;
  (*secret)->len = strlen(text);
  memcpy((*secret)->data, text, strlen(text));
  return SASL_OK;
}

static unsigned fromHex(const char *text, unsigned char *bytes) {
  unsigned count = 0, byte;
  for (; count < MESSAGE_BYTES_MAX && sscanf(text, "%2x", &byte) == 1; text += 2) {
    bytes[count++] = byte;
  }
  return count;
}

static void print(const char *word, const char *mechanism, const char *bytes, unsigned length) {
  printf("%s%s%s", word, *mechanism ? " " : "", mechanism);
  if (bytes != NULL) printf(" ");
  for (unsigned at = 0; bytes != NULL && at < length; at++) printf("%02x", (unsigned char)bytes[at]);
  printf("\n");
  fflush(stdout);
}

int main(void) {
  static unsigned char bound[MESSAGE_BYTES_MAX], challenge[MESSAGE_BYTES_MAX];
  static char line[2 * MESSAGE_BYTES_MAX + 32];
  sasl_callback_t callbacks[] = {{SASL_CB_USER, (int (*)(void))simple, NULL},
                                 {SASL_CB_AUTHNAME, (int (*)(void))simple, NULL},
                                 {SASL_CB_PASS, (int (*)(void))password, NULL},
                                 {SASL_CB_LIST_END, NULL, NULL}};
  sasl_channel_binding_t binding = {variable("CLIENT_BINDING"), 0, 0, bound};
  sasl_conn_t *connection = NULL;
  const char *response = NULL, *mechanism = "";
  unsigned length = 0;
  if (sasl_client_init(NULL) != SASL_OK) return 2;
  if (sasl_client_new("memcached", "localhost", NULL, NULL, callbacks, 0, &connection) != SASL_OK) return 2;
  binding.len = fromHex(variable("CLIENT_BOUND"), bound);
  if (*binding.name) sasl_setprop(connection, SASL_CHANNEL_BINDING, &binding);
  if (*variable("CLIENT_EXTERNAL")) sasl_setprop(connection, SASL_AUTH_EXTERNAL, variable("CLIENT_EXTERNAL"));

  int result = sasl_client_start(connection, variable("CLIENT_MECHANISMS"), NULL, &response, &length, &mechanism);
  if (result != SASL_OK && result != SASL_CONTINUE) {
    printf("refused %s\n", sasl_errdetail(connection));
    return 0;
  }
  print("start", mechanism, response, length);
  while (fgets(line, sizeof line, stdin) != NULL && strncmp(line, "challenge", 9) == 0) {
    unsigned count = fromHex(line + 9 + (line[9] == ' '), challenge);
    response = NULL;
    result = sasl_client_step(connection, (char *)challenge, count, NULL, &response, &length);
    if (result != SASL_OK && result != SASL_CONTINUE) {
      printf("broken %s\n", sasl_errdetail(connection));
      return 0;
    }
    print("step", "", response == NULL ? "" : response, response == NULL ? 0 : length);
  }
  sasl_dispose(&connection);
  return 0;
}
