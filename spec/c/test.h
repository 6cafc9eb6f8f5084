/* test.h - enough of a test harness for C: each spec/c/NAME_test.c is a program
 * linked with everything but main.c.
 *
 *     TEST(list_shift_of_an_empty_list_is_null) { ... CHECK(list_shift(&l) == NULL); }
 *     int main(void) { RUN(list_shift_of_an_empty_list_is_null); return test_report(); }
 *
 * The closing line is `N passed, N failed`; a program that ran nothing fails. */
#ifndef HOSPITAL_SPEC_TEST_H
#define HOSPITAL_SPEC_TEST_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int test_passed, test_failed;
static bool test_ok;

#define TEST(name) static void name(void)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            test_ok = false;                                                                       \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                         \
        }                                                                                          \
    } while (0)

#define CHECK_STRING(got, wanted)                                                                  \
    do {                                                                                           \
        const char *got_ = (got), *wanted_ = (wanted);                                             \
        if (!got_ || strcmp(got_, wanted_) != 0) {                                                 \
            test_ok = false;                                                                       \
            printf("%s:%d: got      %s\n    expected %s\n", __FILE__, __LINE__,                    \
                   got_ ? got_ : "(null)", wanted_);                                               \
        }                                                                                          \
    } while (0)

#define RUN(name)                                                                                  \
    do {                                                                                           \
        test_ok = true;                                                                            \
        name();                                                                                    \
        if (test_ok)                                                                               \
            test_passed++;                                                                         \
        else {                                                                                     \
            test_failed++;                                                                         \
            printf("FAILED %s\n", #name);                                                          \
        }                                                                                          \
    } while (0)

/* Says what is missing where. */
static inline bool has(const char *text, const char *part)
{
    if (strstr(text, part))
        return true;
    printf("    in \"%s\" there is no \"%s\"\n", text, part);
    return false;
}

static inline int test_report(void)
{
    printf("%d passed, %d failed\n", test_passed, test_failed);
    return test_failed == 0 && test_passed > 0 ? 0 : 1;
}

#endif
