/* sanitizer.h - is this build watched by AddressSanitizer?  gcc and clang each
 * say so in a way of their own. */
#ifndef HOSPITAL_BASE_SANITIZER_H
#define HOSPITAL_BASE_SANITIZER_H

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZES_ADDRESSES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZES_ADDRESSES 1
#endif
#endif
#ifndef SANITIZES_ADDRESSES
#define SANITIZES_ADDRESSES 0
#endif

#endif
