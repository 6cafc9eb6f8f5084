/* redact_test.c - secrets are taken out, and nothing else is touched. */
#include "base/redact.h"

#include <stdlib.h>

#include "base/clock.h"
#include "test.h"

static const char *const variables[] = {
    "PATH=/usr/bin",
    "SHOP_TOKEN=tok-1234567890",
    "DB_PASSWORD=p@ss w\"rd",
    "my_secret=abc",
    "KEY_ONE=1",
    "FEATURE_KEY=true",
    "OVER_KEY=abcdef",
    "LAP_KEY=defxyz",
    "DATABASE_URL=postgres://shop:s3cr%40t@db/shop",
    "OTHER_URL=postgres://postgres:postgres@db/x",
    "TLS_KEY=-----BEGIN KEY-----\nMIIEvAIBADANBgkq\nhkiG9w0BAQ\n-----END KEY-----\n",
    "Mixed_Credential=CREDVALUE",
    NULL,
};

static struct redactor *redactor;

static const char *clean(const char *text)
{
    static struct buffer out;
    buffer_clear(&out);
    if (!redact(redactor, text, strlen(text), &out)) {
        CHECK(out.size == 0);
        return text;
    }
    buffer_add(&out, "", 1);
    return out.data;
}

TEST(passwords_in_urls)
{
    CHECK_STRING(clean("postgres://u:hunter2@h:5432/db"), "postgres://u:[redacted]@h:5432/db");
    CHECK_STRING(clean("see redis://:hunter2@h/0 and"), "see redis://:[redacted]@h/0 and");
    CHECK_STRING(clean("http://a:b@c http://d:e@f"), "http://a:[redacted]@c http://d:[redacted]@f");
    CHECK_STRING(clean("x://u:p@ss@h/db"), "x://u:[redacted]@h/db");
    CHECK_STRING(clean("x://u:p/w#?d@h/db"), "x://u:[redacted]@h/db");
    CHECK_STRING(clean("x://u:p\"w@h/db"), "x://u:[redacted]@h/db");
    CHECK_STRING(clean("[\"http://a:b@c\",\"d\"]"), "[\"http://a:[redacted]@c\",\"d\"]");
}

TEST(urls_without_a_password_stay)
{
    CHECK_STRING(clean("http://127.0.0.1:8080/@scope/x"), "http://127.0.0.1:8080/@scope/x");
    CHECK_STRING(clean("http://user@host:80/"), "http://user@host:80/");
    CHECK_STRING(clean("http://host/path?mail=a@b"), "http://host/path?mail=a@b");
    CHECK_STRING(clean("://"), "://");
    CHECK_STRING(clean(""), "");
}

TEST(secrets_in_queries)
{
    CHECK_STRING(clean("http://h/?token=abc123&x=1"), "http://h/?token=[redacted]&x=1");
    CHECK_STRING(clean("GET http://h/a?x=1&api_key=k-1&y=2#top: expected 200"),
                 "GET http://h/a?x=1&api_key=[redacted]&y=2#top: expected 200");
    CHECK_STRING(clean("http://h/?key=abc"), "http://h/?key=[redacted]");
    CHECK_STRING(clean("http://h/?X-Amz-Credential=AK%2F1&X-Amz-Signature=00ff&n=2"),
                 "http://h/?X-Amz-Credential=[redacted]&X-Amz-Signature=[redacted]&n=2");
    CHECK_STRING(clean("http://h/?sv=1&sig=a%2Bb%3D&se=2"), "http://h/?sv=1&sig=[redacted]&se=2");
    CHECK_STRING(clean("http://h/?id_token=a.b.c&user[token]=z&a=1"),
                 "http://h/?id_token=[redacted]&user[token]=[redacted]&a=1");
    CHECK_STRING(clean("http://h/cb#access_token=abc&state=1"),
                 "http://h/cb#access_token=[redacted]&state=1");
    CHECK_STRING(clean("<a href=\"/x?a=1&amp;token=abc\">"),
                 "<a href=\"/x?a=1&amp;token=[redacted]\">");
    CHECK_STRING(clean("\"http://h/?TOKEN=abc\", 'http://h/?client_secret=def'"),
                 "\"http://h/?TOKEN=[redacted]\", 'http://h/?client_secret=[redacted]'");
    CHECK_STRING(clean("/relative?password=a&b=c and more"),
                 "/relative?password=[redacted]&b=c and more");
    CHECK_STRING(clean("http://h/?token=[redacted]&x=1"), "http://h/?token=[redacted]&x=1");
}

TEST(other_queries_stay)
{
    static const char *const plain[] = {
        "http://h/?page=2&sort=name&monkey=1&keyboard=us",
        "http://h/?token=&x=1",
        "http://h/?signed=1&tokens=3&author=me",
        "http://h/a=b?c",
        "key=value",
    };
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        CHECK_STRING(clean(plain[i]), plain[i]);
}

TEST(connection_strings)
{
    CHECK_STRING(clean("host=h password=hunter2 user=u"), "host=h password=[redacted] user=u");
    CHECK_STRING(clean("password='a b\\'c' user=u"), "password='[redacted]' user=u");
    CHECK_STRING(clean("sslpassword=x&sslmode=on"), "sslpassword=[redacted]&sslmode=on");
    CHECK_STRING(clean("Server=s;Pwd=a;b;Uid=u"), "Server=s;Pwd=[redacted];Uid=u");
    CHECK_STRING(clean("Pwd={a;b c};Uid=u"), "Pwd=[redacted];Uid=u");
    CHECK_STRING(clean("PGPASSWORD=zzz psql"), "PGPASSWORD=[redacted] psql");
    CHECK_STRING(clean("\"password=x\", y"), "\"password=[redacted]\", y");
    CHECK_STRING(clean("password=a\"b c"), "password=[redacted] c");
}

TEST(headers)
{
    CHECK_STRING(clean("a\nAuthorization: Basic dTpw\r\nAccept: x"),
                 "a\nAuthorization: [redacted]\r\nAccept: x");
    CHECK_STRING(clean("proxy-authorization: a b c"), "proxy-authorization: [redacted]");
    CHECK_STRING(clean("Set-Cookie: a=b; HttpOnly\nX: y"), "Set-Cookie: [redacted]\nX: y");
    CHECK_STRING(clean("Cookie: a=b"), "Cookie: [redacted]");
    CHECK_STRING(clean("authorization = \"Bearer x\", z = 1"),
                 "authorization = \"[redacted]\", z = 1");
    CHECK_STRING(clean("{\"authorization\":\"Basic a\\\"b\",\"z\":1}"),
                 "{\"authorization\":\"[redacted]\",\"z\":1}");
    CHECK_STRING(clean("{\\\"cookie\\\": \\\"a=b\\\", \\\"z\\\": 1}"),
                 "{\\\"cookie\\\": \\\"[redacted]\\\", \\\"z\\\": 1}");
    CHECK_STRING(clean("[\"set-cookie\"] = {\n \"a=b\",\n \"c=d\" }, e"),
                 "[\"set-cookie\"] = [redacted], e");
    CHECK_STRING(clean("['Cookie'] = 'a=\"b\"'"), "['Cookie'] = '[redacted]'");
    CHECK_STRING(clean("cookie = \"cut off"), "cookie = \"[redacted]");
}

TEST(tokens_by_name)
{
    CHECK_STRING(clean("GET http://shop/?a=b&token=abc&c=d"),
                 "GET http://shop/?a=b&token=[redacted]&c=d");
    CHECK_STRING(clean("?X-Amz-Signature=abc"), "?X-Amz-Signature=[redacted]");
    CHECK_STRING(clean("{\"token\":\"abc\",\"z\":1}"), "{\"token\":\"[redacted]\",\"z\":1}");
    CHECK_STRING(clean("X-Auth-Token: abc\nX: y"), "X-Auth-Token: [redacted]\nX: y");
    CHECK_STRING(clean("invalid token at character 1"), "invalid token at character 1");
}

/* Parsers complain of tokens that are no secrets; what may be one is taken out all the same. */
TEST(complaints_about_tokens)
{
    CHECK_STRING(clean("error: invalid token: foo at 3"), "error: invalid token: foo at 3");
    CHECK_STRING(clean("Unexpected token: end"), "Unexpected token: end");
    CHECK_STRING(clean("invalid token: foo9"), "invalid token: [redacted]");
    CHECK_STRING(clean("invalid token: Foo"), "invalid token: [redacted]");
    CHECK_STRING(clean("invalid token: foo.bar"), "invalid token: [redacted]");
    CHECK_STRING(clean("invalid token: abcdefghijklmnopq"), "invalid token: [redacted]");
    CHECK_STRING(clean("invalid token=foo"), "invalid token=[redacted]");
    CHECK_STRING(clean("invalid password: foo"), "invalid password: [redacted]");
    CHECK_STRING(clean("the token: foo"), "the token: [redacted]");
    CHECK_STRING(clean("token: foo"), "token: [redacted]");
    CHECK_STRING(clean("a\ntoken: foo"), "a\ntoken: [redacted]");
    CHECK_STRING(clean("{invalid, token: foo}"), "{invalid, token: [redacted]");
    CHECK_STRING(clean("xinvalid token: foo"), "xinvalid token: [redacted]");
    CHECK_STRING(clean("invalid token:"), "invalid token:");
    CHECK_STRING(clean("invalid token: "), "invalid token: ");
}

TEST(passwords_in_sql)
{
    CHECK_STRING(clean("alter role a PASSWORD 'x1' valid"),
                 "alter role a PASSWORD '[redacted]' valid");
    CHECK_STRING(clean("identified by 'it''s' b"), "identified by '[redacted]' b");
    CHECK_STRING(clean("Identified By 'cut"), "Identified By '[redacted]");
    CHECK_STRING(clean("password ''"), "password ''");
    CHECK_STRING(clean("near 'x'"), "near 'x'");
}

TEST(bearer_tokens)
{
    CHECK_STRING(clean("got Bearer abc.def-g=, no"), "got Bearer [redacted], no");
    CHECK_STRING(clean("bearer token missing"), "bearer token missing");
    CHECK_STRING(clean("Bearer realm=\"x\""), "Bearer realm=\"x\"");
}

TEST(the_environment)
{
    CHECK_STRING(clean("<tok-1234567890>"), "<[redacted]>");
    CHECK_STRING(clean("p@ss w\"rd!"), "[redacted]!");
    CHECK_STRING(clean("q=p%40ss%20w%22rd!"), "q=[redacted]!");
    CHECK_STRING(clean("q=p%40ss+w%22rd!"), "q=[redacted]!");
    CHECK_STRING(clean("\"p@ss w\\\"rd\""), "\"[redacted]\"");
    CHECK_STRING(clean("abc 1 true /usr/bin"), "abc 1 true /usr/bin");
    CHECK_STRING(clean("xabcdefxyzx"), "x[redacted]x");
    CHECK_STRING(clean("s3cr%40t s3cr@t"), "[redacted] [redacted]");
    CHECK_STRING(clean("postgres is up"), "postgres is up");
    CHECK_STRING(clean("CREDVALUE"), "[redacted]");
    CHECK_STRING(clean("MIIEvAIBADANBgkq"), "[redacted]");
    CHECK_STRING(clean("x://u:abc@tok-1234567890"), "x://u:[redacted]@[redacted]");
}

TEST(a_secret_for_a_user)
{
    CHECK_STRING(clean("x://tok-1234567890:pw@h"), "x://[redacted]:[redacted]@h");
}

TEST(half_a_secret_before_a_cut)
{
    CHECK_STRING(clean("a tok-123" CUT_MARK "9 more bytes]"),
                 "a [redacted]" CUT_MARK "9 more bytes]");
    CHECK_STRING(clean("a tok-123"), "a tok-123");
    CHECK_STRING(clean("x://u:secr" CUT_MARK "9 more bytes]"),
                 "x://u:[redacted]" CUT_MARK "9 more bytes]");
}

TEST(redacting_twice_changes_nothing)
{
    struct buffer out = {0};
    const char *text = "Cookie: [redacted]\npassword=[redacted] x://u:[redacted]@h";
    CHECK(!redact(redactor, text, strlen(text), &out));
    buffer_fini(&out);
}

TEST(names)
{
    CHECK(redact_is_secret_name("Authorization", 13));
    CHECK(redact_is_secret_name("set-cookie", 10));
    CHECK(redact_is_secret_name("db_password", 11));
    CHECK(!redact_is_secret_name("name", 4));
    CHECK(!redact_is_secret_name("", 0));
}

/* Whatever the bytes, nothing is read outside (the sanitizers look) and it takes linear time. */
TEST(any_bytes)
{
    static const char *const bits[] = {
        "://", ":", "=", "@",  "password", "cookie",         "\"", "'",      "\\",   "{",
        "}",   "[", " ", "\n", "Bearer ",  "tok-1234567890", "u",  CUT_MARK, "\xff", "&"};
    struct buffer text = {0}, out = {0};
    srand(7);
    for (int round = 0; round < 20000; round++) {
        buffer_clear(&text);
        buffer_clear(&out);
        for (int n = rand() % 12; n >= 0; n--)
            buffer_add_string(&text, bits[(size_t)rand() % (sizeof bits / sizeof *bits)]);
        char *exact = memory_copy(text.data, text.size);
        char *tight = memory_resize(exact, text.size); /* no NUL to run into */
        bool touched = redact(redactor, tight, text.size, &out);
        CHECK(touched || out.size == 0);
        if (touched)
            CHECK(!memmem(out.data, out.size, "tok-1234567890", 14));
        else
            CHECK(!memmem(tight, text.size, "tok-1234567890", 14));
        free(tight);
    }
    for (size_t b = 0; b < sizeof bits / sizeof *bits; b++) {
        buffer_clear(&text);
        while (text.size < 1 << 20)
            buffer_add_string(&text, bits[b]);
        uint64_t start = clock_now_ns();
        buffer_clear(&out);
        redact(redactor, text.data, text.size, &out);
        uint64_t ns = clock_now_ns() - start;
        if (ns > 400 * NS_PER_MS)
            printf("1 MB of %s: %llu ms\n", bits[b], (unsigned long long)(ns / NS_PER_MS));
        CHECK(ns < 60 * NS_PER_S); /* what is quadratic takes hours */
    }
    buffer_fini(&text);
    buffer_fini(&out);
}

int main(int argc, char **argv)
{
    redactor = redactor_new((char **)(uintptr_t)variables);
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        struct buffer text = {0}, out = {0};
        while (text.size < 1 << 20)
            buffer_add_string(
                &text, "expected 200, got 503 from the home page of the shop (total 12ms)\n");
        uint64_t start = clock_now_ns();
        for (int i = 0; i < 100; i++)
            redact(redactor, text.data, text.size, &out);
        printf("%.2f ns/byte\n", (double)(clock_now_ns() - start) / 100 / (double)text.size);
        return 0;
    }
    RUN(passwords_in_urls);
    RUN(urls_without_a_password_stay);
    RUN(secrets_in_queries);
    RUN(other_queries_stay);
    RUN(connection_strings);
    RUN(headers);
    RUN(tokens_by_name);
    RUN(complaints_about_tokens);
    RUN(passwords_in_sql);
    RUN(bearer_tokens);
    RUN(the_environment);
    RUN(a_secret_for_a_user);
    RUN(half_a_secret_before_a_cut);
    RUN(redacting_twice_changes_nothing);
    RUN(names);
    RUN(any_bytes);
    redactor_free(redactor);
    return test_report();
}
