# docs.mk: what is made from the sources: the API reference, from the comments above
# the functions, and the man page, from the options table by way of `hospital help`.

# bind/host.c is what our own Lua stands on, and no script sees it; nor the reporters.
API_SOURCES := $(filter-out src/bind/host.c,$(wildcard src/bind/*.c src/vm/*.c)) $(sort $(wildcard lua/hospital/*.lua))

.PHONY: docs docs-check
docs: $(BUILD)/hospital ## write docs/api.md and docs/hospital.1
	@mkdir -p docs
	@lua5.4 tools/apidoc.lua $(API_SOURCES) > docs/api.md.new || { rm -f docs/api.md.new; exit 1; }
	@mv docs/api.md.new docs/api.md
	@lua5.4 tools/manpage.lua $(BUILD)/hospital > docs/hospital.1.new && mv docs/hospital.1.new docs/hospital.1

docs-check: $(BUILD)/hospital
	@lua5.4 tools/apidoc.lua --surface src/vm/surface.c --check docs/api.md $(API_SOURCES)
	@lua5.4 tools/manpage.lua $(BUILD)/hospital | cmp -s - docs/hospital.1 || \
		{ echo 'docs/hospital.1: stale, `make docs` makes it anew' >&2; exit 1; }
