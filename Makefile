# make demo       the demo on this machine: rules are revoked and restored; needs only Rust
# make test       every test; needs Rust and Python 3.10 or later, and installs moto into .venv
# make check      what CI runs (.ci/run)
# make campaign   10,000 random cases against the whole core, from seeds; SEEDS=COUNT and FIRST=SEED for others; about five minutes
# make sbom       what is linked into the function, as CycloneDX: target/rulekeeper-function.cdx.json (ARCH=arm64 or x86-64)
# make package    the package for Lambda, its SBOM and hashes: target/package; needs cargo-lambda
# make release    what is deployed without Rust, with the command line and templates: target/bundle; needs cargo-lambda; REQUIRE="arm64 x86_64"
# make package-check  builds the last commit's package twice in different folders and compares; half an hour or more
# make fuzz       looks for inputs that break a promise, guided by coverage: TARGET=events SECONDS=900; fuzz/README.md lists the targets
# make bench      measures one event, cold and warm, beside other functions: times, CPU, instructions, memory, calls, size
# make instructions  counts instructions and compares them with bench/instructions.txt; UPDATE=1 writes it; needs Valgrind
# make scale      measures large sweeps and bursts of revokes at EC2's limits: calls, time, memory; about ten minutes
# make mutants    puts mistakes into what decides, one at a time, and says which of them no test notices (docs/trust.md)
# make wire       every call that the function makes, by everything that can happen to a call on the wire; about five minutes
# make soak       hundreds of calls in all weathers, while processes are killed; TURNS=COUNT, GROUPS=COUNT and SEED=NUMBER for others; about six minutes
# make outages    replays public outages without rulekeeper and with it; writes docs/outages.md; about three minutes

PYTHON ?= python3
VENV := $(CURDIR)/.venv
ARCH ?= arm64
BUILT := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)

.PHONY: help programs bench instructions demo campaign fuzz mutants sbom package release package-check scale outages wire soak test check

help:
	@sed -n 's/^# make/make/p' Makefile

# The whole workspace, as `make test` builds it: asked for package by package, cargo would choose other features for shared
# dependencies and compile the EC2 SDK, most of the work, a second time. `cargo run` would do the same. There are no
# examples to build; --examples makes cargo choose the features that tests need.
programs:
	cargo build --locked --workspace --bins --examples

demo: programs
	"$(BUILT)/debug/demo"

fuzz:
	fuzz/run "$(TARGET)" "$(SECONDS)"

campaign: programs
	"$(BUILT)/debug/campaign" $(or $(SEEDS),10000) $(FIRST)

sbom:
	@mkdir -p "$(BUILT)"
	"$(PYTHON)" tools/sbom.py --arch "$(ARCH)" > "$(BUILT)/rulekeeper-function.cdx.json"

package:
	tools/package "$(ARCH)"

release:
	tools/release $(REQUIRE)

package-check:
	tools/package --check "$(ARCH)"

# As the package is built, but by cargo, for this machine. The features are those of the function alone: the other programs have none
# that it has not.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
bench: programs $(VENV)/installed
	RUSTFLAGS="$$(tools/package --flags)" cargo build --locked --release --target "$(HOST)" -p rulekeeper -p rulekeeper-floor --bins
	"$(BUILT)/debug/speed" --release "$(BUILT)/$(HOST)/release" --python "$(VENV)/bin/python" $(OPTIONS)

instructions: programs
	"$(BUILT)/debug/speed" --release "$(BUILT)/debug" --baseline bench/instructions.txt $(if $(UPDATE),--update)

# FUNCTION=FILE measures another build of the function, such as the release that sam build makes.
scale: programs
	"$(BUILT)/debug/scale" $(if $(FUNCTION),--function "$(FUNCTION)")

outages: programs
	"$(BUILT)/debug/outages" --update docs/outages.md

# moto is a stand-in for DynamoDB, and a second opinion on EC2, that is not ours.
test: $(VENV)/installed
	RULEKEEPER_MOTO="$(VENV)/bin/moto_server" RULEKEEPER_MODEL_BOUNDS=all cargo test --locked --workspace

# Without --workspace cargo would build the SDK again, with other features.
PIPELINE = RULEKEEPER_MOTO="$(VENV)/bin/moto_server" cargo test --locked --workspace --test pipeline

wire: $(VENV)/installed
	RULEKEEPER_WIRE=all $(PIPELINE) wire:: -- --nocapture

TURNS ?= 400
GROUPS ?= 20
SEED ?= 1
soak: $(VENV)/installed
	RULEKEEPER_SOAK="$(TURNS),$(GROUPS),$(SEED)" $(PIPELINE) soak:: -- --nocapture

mutants:
	tools/mutants/run

check:
	.ci/run

$(VENV)/installed: tools/requirements/moto.txt
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "error: the tests need Python 3.10 or later to run moto, and there is no $(PYTHON) on PATH." >&2; \
		echo "       Install it, or name one: make test PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "error: the tests need Python 3.10 or later to run moto, and $(PYTHON) is older." >&2; \
		echo "       Install one, or name it: make test PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -m venv --clear "$(VENV)" || { \
		echo "error: $(PYTHON) cannot make a virtual environment. On Debian and Ubuntu, install python3-venv." >&2; exit 1; }
	"$(VENV)/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r tools/requirements/moto.txt
	@touch "$@"
