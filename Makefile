# Thin: Meson builds, this names what people want. `./run TARGET` does the set-up first.
BUILD ?= build
SETUP = $(if $(DUCKDB_DIR),"-Dduckdb_dir=$(DUCKDB_DIR)")
SANITIZE = -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1

.PHONY: build build-asan test quickstart docs bench-pipeline bench-data bench-train bench-eval bench-tune bench-dist bench-serve lint install build-release deb test-images format clean

build: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

build-asan: build-asan/build.ninja
	@ninja -C build-asan --quiet

$(BUILD)/build.ninja:
	@meson setup $(BUILD) $(SETUP) >/dev/null || { cat $(BUILD)/meson-logs/meson-log.txt; exit 1; }

build-asan/build.ninja:
	@meson setup build-asan $(SETUP) $(SANITIZE) >/dev/null || { cat build-asan/meson-logs/meson-log.txt; exit 1; }

test: build build-asan
	@.deps/venv/bin/python tests/run.py $(BUILD) build-asan

# Program, DuckDB, modules for MPI, man pages, bash completion, systemd unit: below PREFIX, in DESTDIR if told.
PREFIX ?= /usr/local
install: build-release
	@meson configure build-release -Dprefix="$(PREFIX)" >/dev/null
	@DESTDIR="$(DESTDIR)" meson install -C build-release --strip --quiet

build-release: build-release/build.ninja
	@ninja -C build-release --quiet

build-release/build.ninja:
	@meson setup build-release $(SETUP) -Dtests=false >/dev/null || { cat build-release/meson-logs/meson-log.txt; exit 1; }

# build-release/kindred_VERSION_ARCH.deb, for the Debian that this is.
deb: build-release
	@scripts/deb build-release

# The images built and run, what docker/compose.yaml says, the .deb in a fresh Debian: as root, in some four minutes.
test-images:
	@.deps/venv/bin/python -m pytest -q -rs tests/images

quickstart: build
	@scripts/quickstart

# INPUT=reviews of your own; else 200,000 generated ones.
INPUT ?= quickstart/reviews.jsonl
bench-pipeline: build
	@[ -f "$(INPUT)" ] || $(BUILD)/kindred generate --output "$(INPUT)"
	@python3 bench/pipeline.py $(BUILD)/kindred "$(INPUT)"

# REVIEWS=N: 2,000,000 without it, 1 GB; BIG=1: also ten times as many, 10 GB. They stay in BENCH_DIR.
BENCH_DIR ?= data/bench
bench-data: build
	@python3 bench/data.py $(BUILD)/kindred "$(BENCH_DIR)"

# GOWALLA=the folder of its train.txt and test.txt, AMAZON=that of Grocery's and Electronics' reviews; PARTS="speed
# quality": these tables alone, "big" is 100 million generated reviews, ours alone.
GOWALLA ?= ../shared/data/gowalla
AMAZON ?= ../shared/data/amazon
bench-train: build
	@python3 bench/train.py $(BUILD)/kindred "$(GOWALLA)" "$(AMAZON)" "$(BENCH_DIR)"

# PARTS as above; bench/eval.py says which there are.
bench-eval: build
	@python3 bench/eval.py $(BUILD)/kindred "$(GOWALLA)" "$(AMAZON)" "$(BENCH_DIR)"

bench-serve: build
	@python3 bench/serve.py $(BUILD)/kindred "$(GOWALLA)" "$(BENCH_DIR)"

bench-dist: build
	@python3 bench/dist.py $(BUILD)/kindred "$(GOWALLA)" "$(BENCH_DIR)"

# The settings that bench-train takes on Gowalla, chosen on a tenth of train.
bench-tune: build
	@python3 bench/tune.py $(BUILD)/kindred "$(GOWALLA)" "$(BENCH_DIR)"

docs: build
	@python3 tools/options.py $(BUILD)/kindred > docs/options.md

lint: build
	@clang-format-14 --dry-run --Werror $$(git ls-files '*.[ch]')
	@cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,portability \
		--inline-suppr --suppress=missingIncludeSystem -I src -D_GNU_SOURCE src

format:
	@clang-format-14 -i $$(git ls-files '*.[ch]')

clean:
	@rm -rf $(BUILD) build-asan build-release
