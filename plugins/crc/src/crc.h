// Cyclic redundancy checks, each by its parameters in the catalogue of such checks.
#ifndef CRC_H
#define CRC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  const char *name;
  int width;      // bits: 16 or 32
  bool reflected; // lowest bit first, with the polynomial written that way too
  uint32_t poly;
  uint32_t init;
  uint32_t xorout;
} crc_model;

enum { CRC_MODELS = 6 };
extern const crc_model CRC[CRC_MODELS];

uint32_t crc_of(const crc_model *model, const uint8_t *bytes, size_t len);

#endif
