# hospital: healthchecks in Lua, run by C.  `make help` lists what there is.

BUILD     ?= build
PREFIX    ?= /usr/local
DESTDIR   ?=
VERSION   := 0.1.0
ifeq ($(origin CC),default)
CC        := gcc
endif
OPTIMIZE  ?= -O2
SANITIZE  ?=
WERROR    ?=

PKGS      := lua5.4 libuv libcares libcurl libpq
# Lua is linked statically: the sandbox is made for exactly the
# version it was tested with, and starting is faster.  What parses the network's
# data (libcurl, c-ares) stays shared, for Debian's security updates.
STATIC_LIBS := -Wl,-Bstatic -llua5.4 -Wl,-Bdynamic
SECCOMP   := $(shell pkg-config --exists libseccomp 2>/dev/null && echo yes)
# MARIADB= builds without, as where libmariadb-dev is not.
MARIADB   := $(shell pkg-config --exists libmariadb 2>/dev/null && echo yes)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) $(if $(MARIADB),libmariadb) 2>/dev/null)

WARNINGS  := -Wall -Wextra -Wshadow -Wpointer-arith -Wcast-qual -Wstrict-prototypes \
             -Wmissing-prototypes -Wold-style-definition -Wwrite-strings -Wvla -Wundef \
             -Wformat=2 -Wimplicit-fallthrough -Wdouble-promotion -Wnull-dereference
HARDENING := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE -fno-strict-aliasing \
             -fstack-clash-protection
CFLAGS    ?= -g $(OPTIMIZE)
CPPFLAGS_ALL = -Isrc -D_GNU_SOURCE -DHOSPITAL_VERSION='"$(VERSION)"' \
             $(if $(SECCOMP),-DHAVE_SECCOMP) $(if $(MARIADB),-DHAVE_MARIADB) $(PKG_CFLAGS)
ALL_CFLAGS = -std=gnu11 $(CFLAGS) $(WARNINGS) $(WERROR) $(if $(SANITIZE),,$(HARDENING)) $(SANITIZE) \
             $(CPPFLAGS_ALL) -MMD -MP
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANITIZE) $(LDFLAGS)
LIBS       = $(STATIC_LIBS) -luv -lcares -lcurl $(if $(SECCOMP),-lseccomp) -lm -ldl -lrt

MYSQL     := $(filter-out %/mysql_absent.c %/mysql_target.c,$(wildcard src/bind/mysql*.c))
SOURCES   := $(filter-out $(if $(MARIADB),%/mysql_absent.c,$(MYSQL)),$(wildcard src/*/*.c))
OBJECTS   := $(SOURCES:%.c=$(BUILD)/%.o)
CORE      := $(filter-out $(BUILD)/src/cli/main.o,$(OBJECTS))
MODULES   := $(shell find lua -name '*.lua' | LC_ALL=C sort)
CHUNKS    := $(MODULES:%.lua=$(BUILD)/%.luac)
# Tests, and programs that specs run.
SPEC_SOURCES := $(wildcard spec/c/*.c)
SPEC_PROGRAMS := $(SPEC_SOURCES:spec/c/%.c=$(BUILD)/spec/%)

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')
again = $(MAKE) --no-print-directory

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all run test spec-programs c-tests asan lint tidy format packages install uninstall clean help FORCE

all: $(BUILD)/hospital ## build build/hospital (CC=clang, WERROR=-Werror, V=1 …)

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

# --- building ---------------------------------------------------------------

# What was compiled with other flags, or another compiler, is compiled anew;
# -Werror makes no other code.
FLAGS = $(filter-out -Werror,$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(LIBS))
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@pkg-config --exists $(PKGS) || { echo 'Packages are missing; `make packages` installs them.' >&2; exit 1; }
	@echo '$(subst ','\'',$(FLAGS))' | cmp -s - $@ || echo '$(subst ','\'',$(FLAGS))' > $@

$(BUILD)/hospital: $(OBJECTS) $(BUILD)/embedded.o
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

# Our own Lua, compiled and carried inside the binary.
$(BUILD)/%.luac: %.lua
	@mkdir -p $(@D)
	$(Q)luac5.4 -s -o $@ $<

# A module that was removed or renamed leaves no file that is newer.
$(BUILD)/modules: FORCE
	@mkdir -p $(@D)
	@echo '$(MODULES)' | cmp -s - $@ || echo '$(MODULES)' > $@

$(BUILD)/embedded.S: tools/embed.sh $(CHUNKS) $(BUILD)/modules
	$(call say,EMBED,$@)
	$(Q)sh tools/embed.sh $(BUILD) $(CHUNKS) > $@

$(BUILD)/embedded.o: $(BUILD)/embedded.S
	$(Q)$(CC) -c -o $@ $<

-include $(OBJECTS:.o=.d) $(SPEC_SOURCES:%.c=$(BUILD)/%.d)

$(BUILD)/spec/%: $(BUILD)/spec/c/%.o $(CORE) $(BUILD)/embedded.o
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# --- using ------------------------------------------------------------------

packages: ## install the Debian packages that building needs, those that are missing
	@sh tools/packages.sh build

run: packages ## build (installing what is missing) and run the checks in checks/
	+@$(again) all
	@$(BUILD)/hospital run checks/

# What specs want to run stands in TESTS: make test TESTS="policy http_spec".
test: ## build and run all tests, or those with TESTS="part of a path …"
	@sh tools/packages.sh test
	+@$(again) all spec-programs
	@lua5.4 tools/test.lua $(BUILD) $(TESTS)

spec-programs: $(SPEC_PROGRAMS)
	@:

c-tests: spec-programs
	@lua5.4 tools/test.lua $(BUILD) $(BUILD)/spec/

# Slower; a sanitizer's word ends the process, so that a test sees it.
ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
asan: ## the same tests with AddressSanitizer and UndefinedBehaviorSanitizer
	@sh tools/packages.sh test
	+@$(again) BUILD=build-asan SANITIZE='$(ASAN)' OPTIMIZE=-O1 all spec-programs
	@HOSPITAL_SANITIZED=1 lua5.4 tools/test.lua build-asan $(TESTS)

# --- keeping in order -------------------------------------------------------

TIDY := $(SOURCES:%.c=$(BUILD)/%.tidy)
LUA_SOURCES := lua spec checks examples tools

$(BUILD)/%.tidy: $(BUILD)/%.o .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$*.c)
	$(Q)clang-tidy --quiet --warnings-as-errors='*' $*.c -- -std=gnu11 $(CPPFLAGS_ALL) $(WARNINGS) \
		2>$@.log >&2 || { cat $@.log; exit 1; }
	@touch $@

tidy: $(TIDY)
	@:

lint: ## clang-tidy, cppcheck, luacheck, the API reference
	@sh tools/packages.sh lint
	+@$(again) tidy
	$(call say,CPPCHECK,src)
	$(Q)mkdir -p $(BUILD)/cppcheck && cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 -j 2 \
		--cppcheck-build-dir=$(BUILD)/cppcheck --enable=warning,performance,portability \
		--suppress=missingIncludeSystem --suppress=memleak:src/vm/arena.c -Isrc -D_GNU_SOURCE -DHAVE_SECCOMP -DHOSPITAL_VERSION='"$(VERSION)"' src
	$(call say,LUACHECK,$(LUA_SOURCES))
	$(Q)luacheck -qq $(LUA_SOURCES)
	$(call say,DOCS,docs/api.md)
	+@$(again) docs-check

format: ## lay out the C sources by .clang-format
	@sh tools/packages.sh lint
	$(Q)clang-format -i $$(git ls-files -- 'src/*.[ch]' 'spec/*.[ch]' 'bench/*.c')

install: all ## install below $(DESTDIR)$(PREFIX), which is /usr/local
	install -D -m 755 $(BUILD)/hospital $(DESTDIR)$(PREFIX)/bin/hospital
	install -D -m 644 docs/hospital.1 $(DESTDIR)$(PREFIX)/share/man/man1/hospital.1
	install -d $(DESTDIR)$(PREFIX)/share/doc/hospital
	install -m 644 README.md LICENSE docs/api.md $(DESTDIR)$(PREFIX)/share/doc/hospital
	cp -R checks examples $(DESTDIR)$(PREFIX)/share/doc/hospital

uninstall: ## remove what install has put there
	rm -f $(DESTDIR)$(PREFIX)/bin/hospital $(DESTDIR)$(PREFIX)/share/man/man1/hospital.1
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/hospital

clean: ## remove what was built
	rm -rf build build-*/ $(if $(filter-out build,$(BUILD)),$(BUILD))

include bench/bench.mk tools/docs.mk
