# Thin: what a person types. The build itself is CMake's (CMakePresets.json).
.DEFAULT_GOAL := all
.PHONY: all demo test test-s3-all soak bench bench-s3 install check sanitize fuzz format clean

all:
	@scripts/install-deps build
	@[ -f build/build.ninja ] || cmake --preset release >/dev/null
	@cmake --build build

demo: all
	@scripts/demo

test: all
	@scripts/install-deps test
	@scripts/run-tests build

test-s3-all: all
	@scripts/install-deps test
	@scripts/test-s3-all build

soak: all
	@scripts/install-deps test
	@PGPROOF_SOAK=1 scripts/run-tests build

sanitize:
	@scripts/install-deps test
	@[ -f build-asan/build.ninja ] || cmake --preset asan >/dev/null
	@cmake --build build-asan
	@scripts/run-tests build-asan $(S3)

check:
	@scripts/install-deps test
	@scripts/check-arrows
	@scripts/check-format
	@scripts/check-headers

fuzz:
	@scripts/install-deps fuzz
	@scripts/fuzz

bench-s3: all
	@scripts/install-deps bench
	@PGPROOF_S3_SERVERS=$${KIND:-minio} scripts/install-deps s3
	@cmake --build build --target bench-store
	@bench/s3

bench: all
	@scripts/install-deps bench
	@bench/run

format:
	@scripts/check-format --fix

install: all
	@cmake --install build

clean:
	rm -rf build build-debug build-asan build-tsan build-fuzz
