# `make` alone prints the targets. Each sets up what it needs, from nothing, in $(VENV).
#
#   make test PYTHON=python3.12 VENV=.venv-3.12     another interpreter, beside the first
#   CC=false make demo                              as on a machine without a C compiler
#   DISTCHAN_REQUIRE_EXTENSIONS=1 make test         extensions that do not compile are an error

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test chaos fuzz fuzz-native sanitize check format bench bench-go instructions dist clean FORCE

help:  ## Print this text
	@echo "Targets (variables: PYTHON=$(PYTHON), VENV=$(VENV)):"
	@sed -n 's/^\([a-z-]*\):.*## /  \1 /p' $(MAKEFILE_LIST) | \
		while read -r target text; do printf '  %-12s %s\n' "$$target" "$$text"; done

demo: $(VENV)/installed  ## Run the word-count example: one server, several workers
	@$(BIN)/python examples/wordcount/demo.py

# The whole suite once per backend. A suite that silently ran on one backend only, though
# a compiler works here, would prove too little: that is an error.
test: $(VENV)/installed  ## Run the test suite, on the compiled backend and on the Python one
	@if test "`$(BACKEND)`" = cython; then \
		echo "== tests: cython backend" && $(BIN)/python -m pytest && \
		echo "== tests: python backend" && DISTCHAN_NO_EXTENSIONS=1 $(BIN)/python -m pytest; \
	elif $(NO_COMPILER); then \
		echo "== tests: python backend" && $(BIN)/python -m pytest; \
	else \
		echo "make: a C compiler works here, but $(VENV) has no compiled backend;" \
			"see why with: DISTCHAN_REQUIRE_EXTENSIONS=1 $(BIN)/pip install -v -e ." >&2; \
		rm -f $(VENV)/installed; exit 1; \
	fi

chaos: $(VENV)/installed  ## Kill, stop and cut off workers in three long runs; count what is lost
	@$(BIN)/python -m tests.chaos --items 100000 --workers 4 --faults 50 --interval 0.25 kill stop proxy mixed

# Each target in CPU seconds, on either backend. TARGET: one or several, by default all.
SECONDS ?= 60
FUZZING = $(if $(CORPUS),--corpus $(CORPUS) --records $(CORPUS)/records.jsonl)
fuzz: $(VENV)/fuzz-installed  ## Fuzz what bytes from peers reach (SECONDS=60, TARGET=..., CORPUS=directory)
	@$(BIN)/python -m fuzz $(TARGET) --seconds $(SECONDS) $(FUZZING)

# GCC's -fsanitize-coverage lacks the counters that libFuzzer reads.
COUNTED = CC=clang CFLAGS=-fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp
COUNTING = LD_PRELOAD=$(abspath $(VENV)/libfuzzer.so)
fuzz-native: $(VENV)/libfuzzer.so  ## The compiled backend, guided by its machine code (needs clang)
	@$(COUNTED) $(MAKE) $(VENV)/fuzz-installed PRELOAD='$(COUNTING)'
	@$(COUNTING) $(BIN)/python -m fuzz $(TARGET) --backend cython --seconds $(SECONDS) $(FUZZING)

SANITIZED = DISTCHAN_SANITIZE=1
SANITIZING = PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 \
	LD_PRELOAD=$(shell gcc -print-file-name=libasan.so)
sanitize:  ## Run the test suite with AddressSanitizer and UndefinedBehaviorSanitizer (needs gcc)
	@$(SANITIZED) $(MAKE) $(VENV)/installed PRELOAD='$(SANITIZING)'
	@$(SANITIZING) $(BIN)/python -m pytest -o timeout=400

check: test lint  ## test, then formatting, lint and static types

.PHONY: lint
lint: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict

format: $(VENV)/installed  ## Format the sources and apply the safe lint fixes
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

# The peers that come from no Python package (nats-server, go) take part if they are on the PATH.
bench: $(VENV)/bench-installed  ## Run the benchmarks and the comparison with other libraries
	$(BIN)/python -m pytest bench/ --benchmark-disable-gc --benchmark-columns=median,iqr,min,max
	$(BIN)/python -m bench.compare

bench-go: $(VENV)/installed  ## Compare with Go, on its wire and in its encoding (needs go)
	$(BIN)/python -m bench.go_gob
	$(BIN)/python -m bench.go_wire
	$(BIN)/python -m bench.go_wire --size 1048576 --items 1000

dist: $(VENV)/installed  ## Build the sdist, and from it the wheel, into dist/
	$(BIN)/python -m build

clean:  ## Remove environments, builds and caches
	rm -rf .venv .venv-* "$(VENV)" build dist wheelhouse *.egg-info .benchmarks .coverage* .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find distchan -name '*.so' -o -name '*.pyd' -o -name '*.c' | xargs rm -f
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- Setting up -------------------------------------------------------------------------------

# PRELOAD: what compiled modules that are made for a tool need.
BACKEND = $(PRELOAD) $(BIN)/python -c 'import distchan; print(distchan.BACKEND)'
PIP = $(BIN)/python -m pip -qq --disable-pip-version-check

# Installed for good, instead of into a fresh place at each build: an edited .pyx is ready sooner.
BUILD_REQUIREMENTS = import tomllib; \
	print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")

# What an extra needs. The package itself is there already, compiled.
REQUIREMENTS_OF = import sys, tomllib; \
	extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; \
	print(*(name for name in extras[sys.argv[1]] if "distchan[" not in name), sep="\n")

# Of the compiled modules.
PXD = $(wildcard distchan/*.pxd distchan/*/*.pxd)

# True if the user asked for no extensions, or nothing here compiles a file that needs Python.h.
NO_COMPILER = { case "$$DISTCHAN_NO_EXTENSIONS" in ''|0) false;; esac; } || ! \
	$(BIN)/python -c 'import os, shlex, subprocess, sys, sysconfig as s; sys.exit(subprocess.run( \
		shlex.split(os.environ.get("CC") or s.get_config_var("CC")) + ["-I", s.get_path("include"), \
		"-x", "c", "-fsyntax-only", "-"], input=b"\43include <Python.h>\n").returncode)' \
	2>/dev/null

# Knows which interpreter the environment was made with, and makes it anew for another one.
$(VENV)/python: FORCE
	@now=`$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11); \
		print(sys.base_prefix, sys.version.split()[0])' 2>/dev/null` || { \
		echo "make: $(PYTHON) is no Python 3.11 or newer; name one: make PYTHON=python3.12" >&2; \
		exit 1; }; \
	if test "$$now" != "`cat $@ 2>/dev/null`"; then \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "make: $(PYTHON) lacks the venv module (Debian, Ubuntu: apt install python3-venv)" >&2; \
		exit 1; }; \
		$(PYTHON) -m venv --clear $(VENV) && echo "$$now" > $@; \
	fi

# Changes when the environment asks for another kind of build.
$(VENV)/build-settings: $(VENV)/python FORCE
	@now="CC=$$CC CFLAGS=$$CFLAGS `env | \
		grep -E '^DISTCHAN_(NO|REQUIRE|TRACE|SANITIZE)' | sort | tr '\n' ' '`"; \
	test "$$now" = "`cat $@ 2>/dev/null`" || echo "$$now" > $@

$(VENV)/installed: $(VENV)/build-settings pyproject.toml setup.py \
		$(wildcard $(PXD) $(PXD:.pxd=.pyx) $(PXD:.pxd=.py))
	@echo "distchan: installing into $(VENV) (it compiles: one to five minutes the first time)"
	@$(BIN)/python -c '$(BUILD_REQUIREMENTS)' | $(PIP) install -r /dev/stdin
	@$(PIP) install --no-build-isolation -e '.[dev]'
	@backend=`$(BACKEND)` && case "$$backend$$DISTCHAN_NO_EXTENSIONS" in \
		python|python0) echo "distchan: no C compiler worked; running on the pure-Python backend";; \
		*) echo "distchan: backend $$backend";; esac
	@touch $@

instructions: $(VENV)/installed  ## Count the instructions of the compiled core; compare with what they were
	@$(BIN)/python -m bench.instructions

INSTALL_FUZZ = $(BIN)/python -c '$(REQUIREMENTS_OF)' fuzz | $(PIP) install -r /dev/stdin

# There is no atheris for some interpreters and machines; `make fuzz` says what it runs on then.
$(VENV)/fuzz-installed: $(VENV)/installed
	@$(INSTALL_FUZZ) 2>/dev/null || true
	@touch $@

$(VENV)/libfuzzer.so: $(VENV)/python
	@$(INSTALL_FUZZ)
	@gcc -shared -o $@ -Wl,--whole-archive \
		$(VENV)/lib/python3*/site-packages/libclang_rt.fuzzer_no_main.a \
		-Wl,--no-whole-archive -lstdc++ -lm -lpthread

$(VENV)/bench-installed: $(VENV)/installed
	@$(BIN)/python -c '$(REQUIREMENTS_OF)' bench | $(PIP) install -r /dev/stdin
	@touch $@
