/* sha256.h - the digest that fingerprints are made of (FIPS 180-4). */
#ifndef HOSPITAL_BASE_SHA256_H
#define HOSPITAL_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

void sha256(const void *data, size_t size, uint8_t digest[32]);

#endif
