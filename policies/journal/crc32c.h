/* SPDX-License-Identifier: MIT */
/* CRC-32C (Castagnoli), the checksum of journal and quarantine: common processors have an instruction for it.
 * Any thread. */
#ifndef FOREBAY_POLICIES_JOURNAL_CRC32C_H
#define FOREBAY_POLICIES_JOURNAL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of what came before (0 at the start), extended by data: crc32c(crc32c(0, a), b) is the CRC of a and
 * b in a row. Uses the processor's instruction where there is one. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* The same in plain C, which crc32c falls back to. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size);

#endif
