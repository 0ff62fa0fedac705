// The plugin `crc`: checks of what came over a line or a radio link.
#include "akita.h"
#include "crc.h"

#include <string.h>

static bool sum(akita_request *request, akita_content *output, akita_error *error) {
  (void)error; // bytes of any kind have a sum
  const component_list_u8_t *body = &request->input.body;
  akita_text json = {0};
  akita_put(&json, "{\"bytes\":");
  akita_put_number(&json, (int64_t)body->len);
  for (int i = 0; i < CRC_MODELS; i++) {
    akita_put(&json, ",");
    akita_put_json(&json, (const uint8_t *)CRC[i].name, strlen(CRC[i].name));
    akita_put(&json, ":\"");
    akita_put_hex(&json, crc_of(&CRC[i], body->ptr, body->len), CRC[i].width / 4);
    akita_put(&json, "\"");
  }
  akita_put(&json, "}");
  return akita_reply(output, "application/json", &json);
}

// The value of a hexadecimal digit; -1 for what is none.
static int digit(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

static bool no_sentence(akita_error *error, const char *why) {
  return akita_invalid(error, "bad-sentence", "/sentence", why);
}

static bool nmea(akita_request *request, akita_content *output, akita_error *error) {
  akita_text sentence = {0};
  if (!akita_want_string(request, "sentence", &sentence, error)) return false;
  const uint8_t *at = sentence.ptr, *end = sentence.ptr + sentence.len;
  while (end > at && (end[-1] == '\n' || end[-1] == '\r')) end--;
  if (end == at || (*at != '$' && *at != '!')) return no_sentence(error, "a sentence begins with `$` or `!`");
  const uint8_t *start = at++;
  uint8_t checksum = 0;
  for (; at < end && *at != '*'; at++) {
    if (*at < 0x20 || *at > 0x7e) return no_sentence(error, "a sentence holds printable ASCII only");
    checksum ^= *at;
  }
  if (at == start + 1) return no_sentence(error, "the sentence is empty");
  int given = -1;
  if (at < end) {
    if (end - at != 3 || digit(at[1]) < 0 || digit(at[2]) < 0) {
      return no_sentence(error, "after `*` there are two hexadecimal digits, and nothing else");
    }
    given = digit(at[1]) << 4 | digit(at[2]);
  }
  char hex[] = {"0123456789ABCDEF"[checksum >> 4], "0123456789ABCDEF"[checksum & 15], 0};
  akita_text whole = {0}, json = {0};
  akita_put_bytes(&whole, start, (size_t)(at - start));
  akita_put(&whole, "*");
  akita_put(&whole, hex);
  akita_put(&json, "{\"checksum\":\"");
  akita_put(&json, hex);
  akita_put(&json, "\",\"matches\":");
  akita_put(&json, given < 0 ? "null" : given == checksum ? "true" : "false");
  akita_put(&json, ",\"sentence\":");
  akita_put_json(&json, whole.ptr, whole.len);
  akita_put(&json, "}");
  return akita_reply(output, "application/json", &json);
}

static const akita_action ACTIONS[] = {
    {
        .name = "sum",
        .summary = "CRC-16 and CRC-32 of the input's bytes, whatever they are, in their usual kinds.",
        .output_schema = "{\"type\":\"object\",\"properties\":{\"bytes\":{\"type\":\"integer\",\"minimum\":0}},"
                         "\"patternProperties\":{\"^crc16\":{\"type\":\"string\",\"pattern\":\"^[0-9a-f]{4}$\"},"
                         "\"^crc32\":{\"type\":\"string\",\"pattern\":\"^[0-9a-f]{8}$\"}},\"required\":[\"bytes\"]}",
        .idempotent = true,
        .deterministic = true,
        .typical_ms = 1,
        .run = sum,
    },
    {
        .name = "nmea",
        .summary = "Checks, or adds, the checksum of a sentence of NMEA 0183.",
        .input_schema = "{\"type\":\"object\",\"properties\":{\"sentence\":{\"type\":\"string\",\"minLength\":2,"
                        "\"description\":\"with or without `*` and its checksum\"}},\"required\":[\"sentence\"]}",
        .output_schema = "{\"type\":\"object\",\"properties\":{\"checksum\":{\"type\":\"string\"},"
                         "\"matches\":{\"type\":[\"boolean\",\"null\"]},\"sentence\":{\"type\":\"string\"}},"
                         "\"required\":[\"checksum\",\"matches\",\"sentence\"]}",
        .idempotent = true,
        .deterministic = true,
        .typical_ms = 1,
        .run = nmea,
    },
};

const akita_plugin PLUGIN = {
    .name = "crc",
    .version = "0.1.0",
    .summary = "Checksums of frames and sentences: CRC-16, CRC-32, NMEA 0183.",
    .actions = ACTIONS,
    .count = sizeof ACTIONS / sizeof *ACTIONS,
};
