// See crc.h. A table for each check is made when it is needed: that costs less than carrying six of them over a radio link.
#include "crc.h"

const crc_model CRC[CRC_MODELS] = {
    {"crc16_ccitt_false", 16, false, 0x1021, 0xffff, 0},
    {"crc16_xmodem", 16, false, 0x1021, 0, 0},
    {"crc16_x25", 16, true, 0x8408, 0xffff, 0xffff},
    {"crc16_modbus", 16, true, 0xa001, 0xffff, 0},
    {"crc32", 32, true, 0xedb88320, 0xffffffff, 0xffffffff},
    {"crc32c", 32, true, 0x82f63b78, 0xffffffff, 0xffffffff},
};

// What one byte adds.
static uint32_t entry(const crc_model *model, uint32_t byte) {
  uint32_t top = (uint32_t)1 << (model->width - 1);
  uint32_t value = model->reflected ? byte : byte << (model->width - 8);
  for (int bit = 0; bit < 8; bit++) {
    if (model->reflected) {
      value = value & 1 ? value >> 1 ^ model->poly : value >> 1;
    } else {
      value = value & top ? value << 1 ^ model->poly : value << 1;
    }
  }
  return value;
}

uint32_t crc_of(const crc_model *model, const uint8_t *bytes, size_t len) {
  uint32_t table[256];
  for (uint32_t byte = 0; byte < 256; byte++) table[byte] = entry(model, byte);
  uint32_t crc = model->init;
  for (size_t i = 0; i < len; i++) {
    if (model->reflected) {
      crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
    } else {
      crc = crc << 8 ^ table[(crc >> (model->width - 8) ^ bytes[i]) & 0xff];
    }
  }
  // Bits above the width are what a shift to the left leaves.
  uint32_t mask = model->width == 32 ? 0xffffffff : ((uint32_t)1 << model->width) - 1;
  return (crc ^ model->xorout) & mask;
}
