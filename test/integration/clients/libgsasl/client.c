/*
 * libgsasl as a client, without a network: one login, its messages as lines, as libsasl2/client.c beside
 * this one has them. It takes tls-exporter alone for a binding, under the names that end in -PLUS.
 */
#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES_MAX 65536

static const char *variable(const char *name) {
  const char *value = getenv(name);
  return value == NULL ? "" : value;
}

static size_t fromHex(const char *text, char *bytes) {
  size_t count = 0;
  unsigned byte;
  for (; count < MESSAGE_BYTES_MAX && sscanf(text, "%2x", &byte) == 1; text += 2) {
    bytes[count++] = (char)byte;
  }
  return count;
}

static void print(const char *word, const char *mechanism, const char *bytes, size_t length) {
  printf("%s%s%s", word, *mechanism ? " " : "", mechanism);
  if (bytes != NULL) printf(" ");
  for (size_t at = 0; bytes != NULL && at < length; at++) printf("%02x", (unsigned char)bytes[at]);
  printf("\n");
  fflush(stdout);
}

static int provide(Gsasl *context, Gsasl_session *session, Gsasl_property property) {
  (void)context;
  switch (property) {
    case GSASL_AUTHID:
      return gsasl_property_set(session, property, variable("CLIENT_USER"));
    case GSASL_PASSWORD:
      return gsasl_property_set(session, property, variable("CLIENT_PASSWORD"));
    case GSASL_AUTHZID:
      if (!*variable("CLIENT_AUTHZID")) return GSASL_NO_AUTHZID;
      return gsasl_property_set(session, property, variable("CLIENT_AUTHZID"));
    case GSASL_CB_TLS_EXPORTER: {
      static char bound[MESSAGE_BYTES_MAX];
      char *text = NULL;
      size_t length = fromHex(variable("CLIENT_BOUND"), bound), textLength;
      if (length == 0) return GSASL_NO_CB_TLS_EXPORTER;
      if (gsasl_base64_to(bound, length, &text, &textLength) != GSASL_OK) return GSASL_MALLOC_ERROR;
      int result = gsasl_property_set(session, property, text);
      gsasl_free(text);
      return result;
    }
    default:
      return GSASL_NO_CALLBACK;
  }
}

int main(void) {
  static char line[2 * MESSAGE_BYTES_MAX + 32], challenge[MESSAGE_BYTES_MAX];
  Gsasl *context = NULL;
  Gsasl_session *session = NULL;
  char *response = NULL;
  size_t length = 0;
  if (gsasl_init(&context) != GSASL_OK) return 2;
  gsasl_callback_set(context, provide);

  const char *mechanism = gsasl_client_suggest_mechanism(context, variable("CLIENT_MECHANISMS"));
  int result = GSASL_UNKNOWN_MECHANISM;
  if (mechanism != NULL) result = gsasl_client_start(context, mechanism, &session);
  if (result == GSASL_OK) result = gsasl_step(session, NULL, 0, &response, &length);
  if (result != GSASL_OK && result != GSASL_NEEDS_MORE) {
    printf("refused %s\n", gsasl_strerror(result));
    return 0;
  }
  print("start", mechanism, response == NULL ? "" : response, length);
  gsasl_free(response);
  while (fgets(line, sizeof line, stdin) != NULL && strncmp(line, "challenge", 9) == 0) {
    size_t count = fromHex(line + 9 + (line[9] == ' '), challenge);
    response = NULL;
    length = 0;
    result = gsasl_step(session, challenge, count, &response, &length);
    if (result != GSASL_OK && result != GSASL_NEEDS_MORE) {
      printf("broken %s\n", gsasl_strerror(result));
      return 0;
    }
    print("step", "", response == NULL ? "" : response, length);
    gsasl_free(response);
  }
  gsasl_finish(session);
  gsasl_done(context);
  return 0;
}
