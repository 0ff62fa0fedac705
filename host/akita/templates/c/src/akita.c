// See akita.h. Nothing here uses stdio: that alone would make the component three times as large, with imports of WASI.
#include "akita.h"

#include <stdlib.h>
#include <string.h>

// Deepest nesting of a JSON value that is skipped: more than any input needs, and no danger to the stack.
#define MAX_DEPTH 64

// --- text

static void grow(akita_text *text, size_t more) {
  if (text->room - text->len >= more) return;
  size_t room = text->room ? text->room * 2 : 64;
  if (room < text->len + more) room = text->len + more;
  uint8_t *ptr = realloc(text->ptr, room);
  // Over the memory limit: the host says so.
  if (!ptr) abort();
  text->ptr = ptr;
  text->room = room;
}

void akita_put_bytes(akita_text *text, const uint8_t *bytes, size_t len) {
  if (!len) return;
  grow(text, len);
  memcpy(text->ptr + text->len, bytes, len);
  text->len += len;
}

void akita_put(akita_text *text, const char *words) { akita_put_bytes(text, (const uint8_t *)words, strlen(words)); }

void akita_put_hex(akita_text *text, uint64_t number, int digits) {
  for (int place = digits - 1; place >= 0; place--) {
    uint8_t digit = (uint8_t)"0123456789abcdef"[(number >> (4 * place)) & 15];
    akita_put_bytes(text, &digit, 1);
  }
}

void akita_put_number(akita_text *text, int64_t number) {
  uint8_t digits[20];
  size_t count = 0;
  uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
  do digits[count++] = (uint8_t)('0' + left % 10);
  while (left /= 10);
  if (number < 0) akita_put(text, "-");
  while (count) akita_put_bytes(text, &digits[--count], 1);
}

void akita_put_json(akita_text *text, const uint8_t *bytes, size_t len) {
  akita_put(text, "\"");
  for (size_t i = 0; i < len; i++) {
    if (bytes[i] == '"' || bytes[i] == '\\') akita_put(text, "\\");
    if (bytes[i] >= 0x20) {
      akita_put_bytes(text, &bytes[i], 1);
    } else {
      akita_put(text, "\\u");
      akita_put_hex(text, bytes[i], 4);
    }
  }
  akita_put(text, "\"");
}

// --- outputs and errors

bool akita_reply(akita_content *output, const char *content_type, akita_text *text) {
  component_string_dup(&output->content_type, content_type);
  output->body = (component_list_u8_t){.ptr = text->ptr, .len = text->len};
  *text = (akita_text){0};
  return true;
}

static void set_option(component_option_string_t *option, const char *value) {
  option->is_some = value != NULL;
  if (value) component_string_dup(&option->val, value);
}

static void set_failure(akita_plugin_types_failure_t *failure, const char *code, const char *pointer, const char *message) {
  component_string_dup(&failure->message, message);
  set_option(&failure->code, code);
  set_option(&failure->pointer, pointer);
}

bool akita_invalid(akita_error *error, const char *code, const char *pointer, const char *message) {
  error->tag = AKITA_PLUGIN_TYPES_TASK_ERROR_INVALID_INPUT;
  set_failure(&error->val.invalid_input, code, pointer, message);
  return false;
}

bool akita_permanent(akita_error *error, const char *code, const char *message) {
  error->tag = AKITA_PLUGIN_TYPES_TASK_ERROR_PERMANENT;
  set_failure(&error->val.permanent, code, NULL, message);
  return false;
}

bool akita_retryable(akita_error *error, const char *code, const char *message, uint64_t after_ms) {
  error->tag = AKITA_PLUGIN_TYPES_TASK_ERROR_RETRYABLE;
  set_failure(&error->val.retryable.f0, code, NULL, message);
  error->val.retryable.f1 = (component_option_u64_t){.is_some = after_ms > 0, .val = after_ms};
  return false;
}

bool akita_cancelled(akita_error *error) {
  error->tag = AKITA_PLUGIN_TYPES_TASK_ERROR_CANCELLED;
  return false;
}

void akita_log(akita_plugin_log_level_t level, const char *message) {
  component_string_t line;
  component_string_set(&line, message);
  akita_plugin_log_list_annotation_t fields = {0};
  akita_plugin_log_write(level, &line, &fields);
}

// --- the contract: `describe` and `run`, out of the plugin's table

void exports_akita_plugin_actions_describe(exports_akita_plugin_actions_plugin_info_t *info) {
  memset(info, 0, sizeof *info);
  component_string_dup(&info->name, PLUGIN.name);
  component_string_dup(&info->version, PLUGIN.version);
  component_string_dup(&info->summary, PLUGIN.summary);
  info->actions.ptr = calloc(PLUGIN.count, sizeof *info->actions.ptr);
  if (!info->actions.ptr) abort();
  info->actions.len = PLUGIN.count;
  for (size_t i = 0; i < PLUGIN.count; i++) {
    const akita_action *action = &PLUGIN.actions[i];
    akita_plugin_types_action_info_t *told = &info->actions.ptr[i];
    component_string_dup(&told->name, action->name);
    component_string_dup(&told->summary, action->summary);
    set_option(&told->input_schema, action->input_schema);
    set_option(&told->output_schema, action->output_schema);
    told->idempotent = action->idempotent;
    told->deterministic = action->deterministic;
    told->typical_ms = (component_option_u32_t){.is_some = action->typical_ms > 0, .val = action->typical_ms};
  }
}

static bool is(const component_string_t *text, const char *word) {
  return text->len == strlen(word) && memcmp(text->ptr, word, text->len) == 0;
}

bool exports_akita_plugin_actions_run(akita_request *request, akita_content *output, akita_error *error) {
  for (size_t i = 0; i < PLUGIN.count; i++) {
    if (!is(&request->action, PLUGIN.actions[i].name)) continue;
    bool done = PLUGIN.actions[i].run(request, output, error);
    exports_akita_plugin_actions_request_free(request);
    return done;
  }
  exports_akita_plugin_actions_request_free(request);
  error->tag = AKITA_PLUGIN_TYPES_TASK_ERROR_UNKNOWN_ACTION;
  return false;
}

// --- JSON

typedef struct {
  const uint8_t *at;
  const uint8_t *end;
} reader;

static void skip_space(reader *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

static bool take(reader *r, char letter) {
  skip_space(r);
  if (r->at == r->end || *r->at != (uint8_t)letter) return false;
  r->at++;
  return true;
}

static bool hex4(reader *r, uint32_t *unit) {
  if (r->end - r->at < 4) return false;
  *unit = 0;
  for (int i = 0; i < 4; i++) {
    uint8_t c = *r->at++;
    uint32_t digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 16;
    if (digit == 16) return false;
    *unit = *unit << 4 | digit;
  }
  return true;
}

static void put_char(akita_text *text, uint32_t c) {
  uint8_t bytes[4];
  size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = len; i-- > 1; c >>= 6) bytes[i] = (uint8_t)(0x80 | (c & 0x3f));
  bytes[0] = (uint8_t)(len == 1 ? c : (0xf00 >> len & 0xff) | c);
  akita_put_bytes(text, bytes, len);
}

// Behind `\u`: one character, of one unit or two; half a pair becomes U+FFFD.
static bool escaped(reader *r, akita_text *text) {
  uint32_t unit, low;
  if (!hex4(r, &unit)) return false;
  if (unit >= 0xd800 && unit < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
    reader ahead = {r->at + 2, r->end};
    if (!hex4(&ahead, &low)) return false;
    if (low >= 0xdc00 && low < 0xe000) {
      *r = ahead;
      put_char(text, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
      return true;
    }
  }
  put_char(text, unit >= 0xd800 && unit < 0xe000 ? 0xfffd : unit);
  return true;
}

// A string, into `text` where that is wanted.
static bool string(reader *r, akita_text *text) {
  akita_text dropped = {0};
  if (!take(r, '"')) return false;
  bool whole = false;
  while (r->at < r->end) {
    uint8_t c = *r->at++;
    if (c == '"') {
      whole = true;
      break;
    }
    if (c < 0x20) break;
    if (c != '\\') {
      akita_put_bytes(text ? text : &dropped, &c, 1);
      continue;
    }
    if (r->at == r->end) break;
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint8_t letter = *r->at++;
    const char *found = letter ? strchr(from, letter) : NULL;
    if (found) {
      akita_put_bytes(text ? text : &dropped, (const uint8_t *)&to[found - from], 1);
    } else if (letter != 'u' || !escaped(r, text ? text : &dropped)) {
      break;
    }
  }
  free(dropped.ptr);
  return whole;
}

static bool word(reader *r, const char *letters) {
  size_t len = strlen(letters);
  if ((size_t)(r->end - r->at) < len || memcmp(r->at, letters, len) != 0) return false;
  r->at += len;
  return true;
}

static bool digits(reader *r) {
  const uint8_t *start = r->at;
  while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
  return r->at > start;
}

static bool number(reader *r) {
  word(r, "-");
  if (!word(r, "0") && !digits(r)) return false;
  if (word(r, ".") && !digits(r)) return false;
  if (word(r, "e") || word(r, "E")) {
    if (!word(r, "+")) word(r, "-");
    return digits(r);
  }
  return true;
}

static bool skip(reader *r, int depth) {
  skip_space(r);
  if (r->at == r->end || depth > MAX_DEPTH) return false;
  uint8_t first = *r->at;
  if (first == '"') return string(r, NULL);
  if (first != '{' && first != '[') return word(r, "true") || word(r, "false") || word(r, "null") || number(r);
  char end = first == '{' ? '}' : ']';
  r->at++;
  if (take(r, end)) return true;
  do {
    if (first == '{' && !(string(r, NULL) && take(r, ':'))) return false;
    if (!skip(r, depth + 1)) return false;
  } while (take(r, ','));
  return take(r, end);
}

static bool at_end(reader *r) {
  skip_space(r);
  return r->at == r->end;
}

// Copies a number as it is written.
static bool copy_number(reader *r, akita_text *value) {
  const uint8_t *start = r->at;
  if (!number(r)) return false;
  akita_put_bytes(value, start, (size_t)(r->at - start));
  return true;
}

// The last member of a name counts, as in most readers.
static akita_found member(reader *r, const char *name, bool (*read)(reader *, akita_text *), akita_text *value) {
  akita_found found = AKITA_MISSING;
  if (take(r, '}')) return found;
  do {
    akita_text key = {0};
    bool whole = string(r, &key) && take(r, ':');
    bool ours = key.len == strlen(name) && memcmp(key.ptr, name, key.len) == 0;
    free(key.ptr);
    if (!whole) return AKITA_NOT_JSON;
    skip_space(r);
    char first = r->at < r->end ? (char)*r->at : 0;
    bool fits = read == string ? first == '"' : first == '-' || (first >= '0' && first <= '9');
    if (ours) {
      value->len = 0;
      found = fits ? AKITA_FOUND : AKITA_OTHER_TYPE;
    }
    if (!(ours && fits ? read(r, value) : skip(r, 1))) return AKITA_NOT_JSON;
  } while (take(r, ','));
  return take(r, '}') ? found : AKITA_NOT_JSON;
}

static akita_found find(const component_list_u8_t *json, const char *name, bool (*read)(reader *, akita_text *), akita_text *value) {
  reader r = {json->ptr, json->ptr + json->len};
  reader ahead = r;
  if (!take(&r, '{')) return skip(&ahead, 0) && at_end(&ahead) ? AKITA_NO_OBJECT : AKITA_NOT_JSON;
  akita_found found = member(&r, name, read, value);
  return found != AKITA_NOT_JSON && !at_end(&r) ? AKITA_NOT_JSON : found;
}

akita_found akita_json_string(const component_list_u8_t *json, const char *name, akita_text *value) {
  return find(json, name, string, value);
}

akita_found akita_json_number(const component_list_u8_t *json, const char *name, double *value) {
  akita_text text = {0};
  akita_found found = find(json, name, copy_number, &text);
  if (found == AKITA_FOUND) {
    akita_put_bytes(&text, (const uint8_t *)"", 1);
    *value = strtod((const char *)text.ptr, NULL);
    // More than a number has room for.
    if (*value - *value != 0) found = AKITA_OTHER_TYPE;
  }
  free(text.ptr);
  return found;
}

static bool wrong(akita_error *error, const char *code, const char *name, const char *what) {
  akita_text message = {0}, pointer = {0};
  akita_put(&message, "`");
  akita_put(&message, name);
  akita_put(&message, what);
  akita_put_bytes(&message, (const uint8_t *)"", 1);
  akita_put(&pointer, "/");
  akita_put(&pointer, name);
  akita_put_bytes(&pointer, (const uint8_t *)"", 1);
  // What is missing has no place of its own: the fault is the object's.
  bool missing = strcmp(what, "` is missing") == 0;
  akita_invalid(error, code, missing ? "" : (const char *)pointer.ptr, (const char *)message.ptr);
  free(message.ptr);
  free(pointer.ptr);
  return false;
}

static bool wanted(akita_found found, const char *name, const char *other, akita_error *error) {
  switch (found) {
  case AKITA_FOUND: return true;
  case AKITA_MISSING: return wrong(error, "bad-input", name, "` is missing");
  case AKITA_OTHER_TYPE: return wrong(error, "bad-input", name, other);
  case AKITA_NO_OBJECT: return akita_invalid(error, "bad-input", "", "the input is no JSON object");
  default: return akita_invalid(error, "not-json", NULL, "the input is not JSON");
  }
}

bool akita_want_string(akita_request *request, const char *name, akita_text *value, akita_error *error) {
  return wanted(akita_json_string(&request->input.body, name, value), name, "` is no text", error);
}

bool akita_want_number(akita_request *request, const char *name, double *value, akita_error *error) {
  return wanted(akita_json_number(&request->input.body, name, value), name, "` is no number", error);
}

bool akita_is_json(const akita_request *request) {
  const component_string_t *type = &request->input.content_type;
  static const char json[] = "application/json";
  size_t len = sizeof json - 1;
  return type->len >= len && memcmp(type->ptr, json, len) == 0 && (type->len == len || type->ptr[len] == ';');
}
