# bench.mk: what `make bench` needs besides the engine.

BENCH_PROGRAMS := $(BUILD)/bench/slowserver $(BUILD)/bench/baseline $(BUILD)/bench/barepq
# Choose scenarios and options: make bench BENCH="get cold --runs 9"
BENCH ?=

$(BUILD)/bench/slowserver: bench/slowserver.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -O2 -g $(WARNINGS) $(WERROR) -o $@ $<

# The peer is built as plainly as the engine: same optimization, same libraries.
$(BUILD)/bench/baseline: bench/baseline.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -O2 -g $(WARNINGS) $(WERROR) $$(pkg-config --cflags libuv libcurl) \
		-o $@ $< $$(pkg-config --libs libuv libcurl)

$(BUILD)/bench/barepq: bench/barepq.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -O2 -g $(WARNINGS) $(WERROR) $$(pkg-config --cflags libuv libpq) \
		-o $@ $< $$(pkg-config --libs libuv libpq)

.PHONY: bench-setup bench-programs bench profile
bench-setup:
	@sh tools/packages.sh bench

bench-programs: bench-setup
	+@$(MAKE) --no-print-directory $(BENCH_PROGRAMS)

bench: bench-programs $(BUILD)/hospital ## measure against the peers and the bounds, see bench/README.md
	@/usr/bin/python3 bench/bench.py --hospital $(BUILD)/hospital --programs $(BUILD)/bench $(BENCH)

profile: bench-programs $(BUILD)/hospital ## where the time of the GET benchmark goes
	@BUILD=$(BUILD) sh bench/profile.sh
