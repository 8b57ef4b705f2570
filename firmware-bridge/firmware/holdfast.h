/*
 * Holdfast Link for firmware: readings are kept until the hub has them on its disk.
 * The protocol is described in docs/link.md. C99, no allocation, no interrupts, not reentrant:
 * call everything of one link from one place, the main loop.
 */
#ifndef HOLDFAST_H
#define HOLDFAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a frame before it is stuffed; at most 254. Two buffers of this size are in the link. */
#ifndef HOLDFAST_FRAME_MAX
#define HOLDFAST_FRAME_MAX 128
#endif
#if HOLDFAST_FRAME_MAX > 254 || HOLDFAST_FRAME_MAX < 64
#error "HOLDFAST_FRAME_MAX is 64 to 254"
#endif
/* What of it is left for a reading: without type, tag, sequence number and checksum. */
#define HOLDFAST_RECORD_MAX (HOLDFAST_FRAME_MAX - 9)
/* Before its name and value: time (7), lost before it (4), type, length of the name. */
#define HOLDFAST_RECORD_HEADER 13
/* What the firmware can answer to a command; kept, so that the answer can be said again. */
#ifndef HOLDFAST_ANSWER_MAX
#define HOLDFAST_ANSWER_MAX 32
#endif
#if HOLDFAST_ANSWER_MAX > HOLDFAST_FRAME_MAX - 8
#error "HOLDFAST_ANSWER_MAX is at most HOLDFAST_FRAME_MAX - 8"
#endif
/* Readings on the way that are not acknowledged; the hub takes at most 32. */
#ifndef HOLDFAST_WINDOW
#define HOLDFAST_WINDOW 8
#endif

/* What happens to a reading for which there is no room. Either way it is counted and reported. */
typedef enum {
  HOLDFAST_REFUSE_NEW, /* the new one is refused */
  HOLDFAST_DROP_OLDEST /* the oldest that was never sent gives way; RAM only */
} holdfast_when_full;

/* How far the time of the hub can be trusted. */
typedef enum {
  HOLDFAST_TIME_NONE = 0,      /* the hub has not told it yet */
  HOLDFAST_TIME_ESTIMATED = 1, /* its own clock is not known to be right */
  HOLDFAST_TIME_SYNCED = 2
} holdfast_time_quality;

typedef enum {
  HOLDFAST_COMMAND_DONE = 0,
  HOLDFAST_COMMAND_FAILED = 1,
  HOLDFAST_COMMAND_UNKNOWN = 2
} holdfast_command_status;

/* A command. `name` and `payload` are not terminated, and gone when the callback returns. */
typedef struct {
  const char *name;
  const uint8_t *payload;
  uint8_t name_length;
  uint8_t payload_length;
  uint8_t answer_length; /* for the callback to set; 0 before, and cut at HOLDFAST_ANSWER_MAX */
  uint8_t answer[HOLDFAST_ANSWER_MAX];
} holdfast_command;

/*
 * Keeps readings somewhere that survives a restart of the firmware: flash, FRAM, an EEPROM.
 * A record is at most HOLDFAST_RECORD_MAX bytes, opaque. Each function takes `user` of the store.
 */
typedef struct {
  void *user;
  /* Keeps a record behind the others; durable when it answers true. False: no room. */
  bool (*append)(void *user, const uint8_t *record, uint8_t length);
  /* Reads the record `index`, 0 is the oldest; answers its length, 0 when there is none. */
  uint8_t (*read)(void *user, uint16_t index, uint8_t *record);
  /*
   * Gives the oldest `count` up, for the hub has them, and moves the number of `load` on by as
   * many. May be undone by a power cut, but only both together.
   */
  void (*drop)(void *user, uint16_t count);
  uint16_t (*count)(void *user);
  /* From now on the oldest record has this number in this session. Durable when it returns. */
  void (*begin)(void *user, uint32_t session, uint32_t first);
  /* What `begin` and `drop` have left; false, and nothing set, when there was never a `begin`. */
  bool (*load)(void *user, uint32_t *session, uint32_t *first);
} holdfast_store;

typedef struct {
  const char *device; /* letters, digits, `-`, `_`, `.`; 1 to 32 of them; unique on its hub */
  void *user;         /* given to the callbacks below */
  uint32_t (*millis)(void *user); /* free running, wraps at 2^32 */
  /* Takes as many of the bytes as it can without waiting, and answers how many. */
  size_t (*write)(void *user, const uint8_t *bytes, size_t length);
  /* Does a command; NULL when there are none. It is called once for each command. */
  holdfast_command_status (*command)(void *user, holdfast_command *command);
  uint8_t *buffer;               /* room for readings, when there is no store */
  uint16_t buffer_length;        /* at least HOLDFAST_RECORD_MAX + 1 */
  const holdfast_store *store;   /* instead of the buffer; NULL: RAM */
  holdfast_when_full when_full;
} holdfast_config;

/*
 * Look at kept, lost, resent, bad_frames and up; write none of it. The first 64 bytes are those
 * that an AVR reaches in one instruction.
 */
typedef struct {
  const holdfast_config *config;
  uint8_t clock[6];  /* ms since the start of this clock, low byte first: millis wraps, this not */
  uint8_t offset[6]; /* the time of the hub minus ours */
  uint8_t quality;   /* of the time of the hub */
  bool up;           /* the hub has said welcome */
  /* sequence numbers: `first` is that of the oldest record held */
  uint32_t session;
  uint32_t first;
  uint16_t sent;     /* of the records held, those that were ever sent in this session */
  uint16_t cursor;   /* the next to send */
  uint16_t restored; /* of the records held, those of before this start */
  uint8_t window;
  bool answer_due;
  uint16_t nonce;
  /* the low 16 bits of the clock at which it was; what is measured by them is below 65 s */
  uint16_t heard;
  uint16_t said;
  uint16_t hello_said;
  uint16_t resend_since;
  uint16_t resend_ms;
  /* one frame out, one frame in */
  uint8_t tx_length;
  uint8_t tx_at;
  uint8_t rx_length;
  bool hello_now;
  /* the ring: each record behind its length */
  uint16_t ring_head;
  uint16_t ring_used;
  uint16_t ring_count;
  uint32_t unreported; /* lost since the last record */
  uint32_t kept;       /* readings taken since holdfast_begin */
  uint32_t lost;       /* readings refused or dropped for want of room */
  uint16_t resent;     /* records sent more than once; wraps */
  uint16_t bad_frames; /* wraps */
  /* the last command, to answer it again instead of doing it again */
  bool command_known;
  uint8_t answer_status;
  uint32_t command_id;
  holdfast_command command;
  /* a code byte before, a delimiter behind */
  uint8_t tx[HOLDFAST_FRAME_MAX + 2];
  uint8_t rx[HOLDFAST_FRAME_MAX + 2];
} holdfast_link;

/* `config` and what it points to stay where they are for as long as the link is used. */
void holdfast_begin(holdfast_link *link, const holdfast_config *config);

/* Bytes from the hub, as they come. */
void holdfast_receive(holdfast_link *link, const uint8_t *bytes, size_t length);

/* Call it often: it sends what is to be sent. Never waits. At least once in 49 days. */
void holdfast_poll(holdfast_link *link);

/*
 * Takes a reading of now; true when it is kept. False: no room, or too long. It is counted, and
 * the hub is told with the next reading. Numbers are `value * 10^exponent`.
 */
bool holdfast_number(holdfast_link *link, const char *name, int32_t value, int8_t exponent);
bool holdfast_float(holdfast_link *link, const char *name, float value);
bool holdfast_bool(holdfast_link *link, const char *name, bool value);
bool holdfast_text(holdfast_link *link, const char *name, const char *text);

/* Readings that the hub has not acknowledged. */
uint16_t holdfast_waiting(const holdfast_link *link);

/* The time of the hub in ms since 1970. */
holdfast_time_quality holdfast_time(holdfast_link *link, uint64_t *ms);

/* The parts that a test looks at. */
uint16_t holdfast_crc(const uint8_t *bytes, uint8_t length);
/* In place: `length` bytes from frame[1] on become length + 2 from frame[0] on, delimiter last. */
void holdfast_stuff(uint8_t *frame, uint8_t length);
/* In place, without the delimiter: the bytes are at frame[1]; their number, 0 when not valid. */
uint8_t holdfast_unstuff(uint8_t *frame, uint8_t length);

#ifdef __cplusplus
}
#endif
#endif
