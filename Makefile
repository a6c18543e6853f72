# What a newcomer and CI type. Each target sets up what it needs and does nothing twice.
.DEFAULT_GOAL := help
.PHONY: help demo test lint clean
MAKEFLAGS += --no-print-directory
PYTEST ?= tests

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo: ## set up, then find a planted bug in real QEMU: build, smoke, bisect, report (about 15 minutes, again 3)
	@.ci/setup run
	@tests/demo/run

test: ## set up, then run all tests; PYTEST="-k name" for some of them
	@.ci/setup test
	@.ci/apt-state bookworm-backports .cache/qemu-10.0 unpack qemu-system-x86 qemu-system-ppc qemu-system-arm qemu-system-misc \
		qemu-system-modules-opengl qemu-system-modules-spice
	@.venv/bin/python -m pytest -n 4 --dist worksteal $(PYTEST)

lint: ## ruff and mypy, and shellcheck where it is installed
	@.ci/setup run
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy --strict
	@if command -v shellcheck >/dev/null; then shellcheck .ci/setup .ci/run .ci/apt-state tests/demo/run; fi

clean: ## drop everything that was made: .demo, .cache, .venv
	@rm -rf .demo .cache .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
