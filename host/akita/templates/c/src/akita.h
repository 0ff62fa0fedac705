// What a plugin in C needs of Akita beyond the contract: a table of actions instead of `describe` and `run`, errors in one
// line, text that grows, and a small JSON reader. `component.h` is made from wit/ by `akita plugin build`.
#ifndef AKITA_H
#define AKITA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "component.h"

// One attempt at a task: `action`, `input.content_type`, `input.body`. Freed after the action.
typedef exports_akita_plugin_actions_request_t akita_request;
// What an action gives back.
typedef exports_akita_plugin_actions_content_t akita_content;
// Why it gave nothing.
typedef exports_akita_plugin_actions_task_error_t akita_error;

// An action: true with an output, false with an error. `return akita_reply(...)` and `return akita_invalid(...)` are the ends.
typedef bool (*akita_run)(akita_request *request, akita_content *output, akita_error *error);

typedef struct {
  const char *name;          // lower-case words joined by `-`
  const char *summary;       // one line for people
  const char *input_schema;  // JSON Schema, or NULL
  const char *output_schema; // JSON Schema, or NULL
  bool idempotent;           // running it twice does no more than once
  bool deterministic;        // the same input gives the same output, bit for bit
  uint32_t typical_ms;       // how long it usually takes; 0 if you do not know
  akita_run run;
} akita_action;

typedef struct {
  const char *name;
  const char *version;
  const char *summary;
  const akita_action *actions;
  size_t count;
} akita_plugin;

// Defined by plugin.c.
extern const akita_plugin PLUGIN;

// Text or bytes that grow. Starts as `akita_text text = {0}`.
typedef struct {
  uint8_t *ptr;
  size_t len;
  size_t room;
} akita_text;

void akita_put(akita_text *text, const char *words);
void akita_put_bytes(akita_text *text, const uint8_t *bytes, size_t len);
void akita_put_json(akita_text *text, const uint8_t *bytes, size_t len); // as a JSON string, with its quotes
void akita_put_number(akita_text *text, int64_t number);
void akita_put_hex(akita_text *text, uint64_t number, int digits);

// The output; takes the text over.
bool akita_reply(akita_content *output, const char *content_type, akita_text *text);

// The ends of an action that gives nothing. `code` is a stable word for programs, `pointer` says where in a JSON input the fault
// lies; each may be NULL.
bool akita_invalid(akita_error *error, const char *code, const char *pointer, const char *message);
bool akita_permanent(akita_error *error, const char *code, const char *message);
bool akita_retryable(akita_error *error, const char *code, const char *message, uint64_t after_ms);
bool akita_cancelled(akita_error *error);

// One line in the node's log; the level is AKITA_PLUGIN_LOG_LEVEL_INFO and so on.
void akita_log(akita_plugin_log_level_t level, const char *message);

// What became of the search for a member of a JSON object.
typedef enum { AKITA_FOUND, AKITA_MISSING, AKITA_OTHER_TYPE, AKITA_NO_OBJECT, AKITA_NOT_JSON } akita_found;

// The member of that name at the top of a JSON object, if it is a string.
akita_found akita_json_string(const component_list_u8_t *json, const char *name, akita_text *value);

// The same, if it is a number that a double has room for.
akita_found akita_json_number(const component_list_u8_t *json, const char *name, double *value);

// The same for an action that cannot do without: false, with the error filled in.
bool akita_want_string(akita_request *request, const char *name, akita_text *value, akita_error *error);
bool akita_want_number(akita_request *request, const char *name, double *value, akita_error *error);

// Whether the input is JSON by its media type.
bool akita_is_json(const akita_request *request);

#endif
