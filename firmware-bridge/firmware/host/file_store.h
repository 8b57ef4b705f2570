/* A holdfast_store in a file, as an example of one: append-only records, and a place to begin. */
#ifndef HOLDFAST_FILE_STORE_H
#define HOLDFAST_FILE_STORE_H

#include "../holdfast.h"

/* Opens or creates it; answers how many records it was ever given. Ends the process on an error. */
uint32_t file_store_open(holdfast_store *store, const char *path);

#endif
