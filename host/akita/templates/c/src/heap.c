// The heap: malloc and its family, in the memory that the plugin starts with, and in more only once that is used up.
// Zig's own asks for 64 KiB for each size of block, and asking costs a small run as much as all the rest of it.
//
// Sizes are powers of two. A freed block is kept for the next of its size; each run starts with an empty heap, so nothing
// is ever given back. Take this file out and the C library's own heap is used.
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// What precedes a block. The block is aligned as this is: enough for any type of C.
typedef struct header {
  _Alignas(16) struct header *owner;  // where the block really starts: elsewhere for one with an alignment of its own
  struct header *next;                // the next free one of its size
  uint32_t size_class;                // it has 16 << size_class bytes
} header;

#define CLASSES 27
#define PAGE ((size_t)65536)

extern unsigned char __heap_base;
static header *unused[CLASSES];
static uintptr_t top, end;

static header *head_of(void *ptr) { return (header *)ptr - 1; }

static size_t room_of(const header *head) { return (size_t)16 << head->size_class; }

// Fresh memory, or none where the plugin's limit is reached.
static header *take(size_t bytes) {
  if (!top) {
    top = ((uintptr_t)&__heap_base + 15) & ~(uintptr_t)15;
    end = __builtin_wasm_memory_size(0) * PAGE;
  }
  if (end - top < bytes) {
    size_t pages = (bytes - (end - top) + PAGE - 1) / PAGE;
    if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX) return NULL;
    end += pages * PAGE;
  }
  header *head = (header *)top;
  top += bytes;
  return head;
}

void *malloc(size_t size) {
  uint32_t size_class = 0;
  while (size_class < CLASSES && size > (size_t)16 << size_class) size_class++;
  header *head = size_class < CLASSES ? unused[size_class] : NULL;
  if (head) {
    unused[size_class] = head->next;
  } else if (size_class == CLASSES || !(head = take(sizeof *head + ((size_t)16 << size_class)))) {
    errno = ENOMEM;
    return NULL;
  }
  *head = (header){.owner = head, .size_class = size_class};
  return head + 1;
}

void free(void *ptr) {
  if (!ptr) return;
  header *head = head_of(ptr)->owner;
  head->next = unused[head->size_class];
  unused[head->size_class] = head;
}

void *calloc(size_t count, size_t size) {
  size_t bytes;
  void *ptr = __builtin_mul_overflow(count, size, &bytes) ? malloc(SIZE_MAX) : malloc(bytes);
  return ptr ? memset(ptr, 0, bytes) : NULL;
}

void *realloc(void *ptr, size_t size) {
  if (!ptr) return malloc(size);
  header *owner = head_of(ptr)->owner;
  size_t room = room_of(owner) - (size_t)((char *)ptr - (char *)(owner + 1));
  if (size <= room) return ptr;
  void *larger = malloc(size);
  if (!larger) return NULL;
  memcpy(larger, ptr, room);
  free(ptr);
  return larger;
}

void *aligned_alloc(size_t alignment, size_t size) {
  if (alignment <= sizeof(header) || size > SIZE_MAX / 4 || alignment > SIZE_MAX / 4) {
    return malloc(alignment <= sizeof(header) ? size : SIZE_MAX);
  }
  char *ptr = malloc(size + alignment + sizeof(header));
  if (!ptr) return NULL;
  header *owner = head_of(ptr);
  uintptr_t place = ((uintptr_t)ptr + sizeof(header) + alignment - 1) & ~(uintptr_t)(alignment - 1);
  *head_of((void *)place) = (header){.owner = owner, .size_class = owner->size_class};
  return (void *)place;
}

int posix_memalign(void **found, size_t alignment, size_t size) {
  void *ptr = aligned_alloc(alignment, size);
  if (!ptr) return ENOMEM;
  *found = ptr;
  return 0;
}
