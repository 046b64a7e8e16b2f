# Two commands set up and go: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test quick lint sim mutants soak soak-short lab lab-quick lab-full bench bench-guard bench-journal venv clean fuzz
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

demo: .venv/.run ## see the race between boot and storage, without and with Tidegate (no root)
	@$(BIN)/tidegate demo

test: .venv/.develop ## all tests: linters, units, properties, simulator, real sockets
	$(BIN)/python -m pytest -n 2

quick: .venv/.develop ## the tests that take seconds
	$(BIN)/python -m pytest -q tests/unit

lint: .venv/.develop ## ruff, mypy, import-linter, codespell
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

sim: .venv/.develop ## 10,000 random boots in the simulator, on all cores; a seed that breaks a rule is cut down and shown
	$(BIN)/python -m tidegate.sim.many

mutants: .venv/.develop ## planners broken on purpose, and the rule that catches each
	$(BIN)/python -m tests.sim.mutants

soak: .venv/.develop ## half an hour at rest: memory and CPU with 500 volumes and a noisy event stream
	$(BIN)/python -m tests.soak

soak-short: .venv/.develop ## two minutes of it, as CI runs it
	$(BIN)/python -m tests.soak --minutes 2 --slack 1.5

lab: .venv/.develop ## root: real systemd, real Incus, scenarios without and with Tidegate
	$(BIN)/python -m tests.lab run --check

lab-quick: .venv/.develop ## root: the part of the lab that CI runs, 10 minutes at most
	$(BIN)/python -m tests.lab quick --check

lab-full: .venv/.develop ## root: every strategy, with and without the agent, under every fault; and what is special
	$(BIN)/python -m tests.lab full --check
	$(BIN)/python -m tests.lab special --check

bench: .venv/.develop ## figures: start of the command, status, decode and judge
	$(BIN)/python -m benchmarks

fuzz: .venv/.develop ## 100,000 damaged inputs for every parser of outside text
	$(BIN)/python -m tests.fuzz
	$(BIN)/python -m tests.journal_fuzz 100000

bench-guard: .venv/.develop ## what the guard costs, beside nginx as a plain reverse proxy; needs nginx
	$(BIN)/python -m benchmarks.guard

bench-journal: .venv/.develop ## a million journal entries explained; needs systemd-journal-remote
	$(BIN)/python -m benchmarks.journal

venv: .venv/.develop ## only make .venv

.venv/.run: tools/make_venv.py requirements/run.lock requirements/build.lock
	$(PYTHON) tools/make_venv.py run

.venv/.develop: tools/make_venv.py requirements/develop.lock
	$(PYTHON) tools/make_venv.py develop

clean: ## remove what was made here
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
