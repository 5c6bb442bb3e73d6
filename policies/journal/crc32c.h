/* SPDX-License-Identifier: MIT */
/* CRC-32C (Castagnoli), the checksum of journal records: of all 32-bit polynomials that have an instruction
 * on common processors the one with the best detection of short bursts. */
#ifndef FOREBAY_POLICIES_CRC32C_H
#define FOREBAY_POLICIES_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of what came before (0 at the start), extended by data: crc32c(crc32c(0, a), b) is the CRC of a and
 * b in a row. Takes the processor's instruction where there is one. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* The same without any instruction beyond plain C; what crc32c falls back to. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size);

#endif
