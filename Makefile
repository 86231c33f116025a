# GANTRY_LONG=1 lets the tests run that take longer than CI has. TESTFLAGS go to `go test`.
SHELL := /bin/bash
TESTFLAGS ?=
FUZZTIME  ?= 1m

.PHONY: run build test test-long race fuzz lint bench profile microbench check deps

run: build
	bin/gantry serve

build:
	CGO_ENABLED=0 go build -trimpath -o bin/gantry ./cmd/gantry

deps:
	@internal/clienttest/prerequisites.sh

test: deps
	go vet ./...
	go test -timeout 18m $(TESTFLAGS) ./...

test-long: deps
	GANTRY_LONG=1 go test -timeout 6h $(TESTFLAGS) ./...

race: deps
	go test -race -timeout 60m $(TESTFLAGS) ./...

# One target at a time: that is all `go test -fuzz` takes.
fuzz:
	@set -e; grep -r --include='*_test.go' -oE '^func Fuzz[A-Za-z0-9_]*' . | sed 's|/[^/]*:func | |' | sort -u | \
	while read -r pkg target; do echo "$$pkg $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$pkg"; done

lint:
	go vet ./...
	go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run

# Starts gantry and its peers (Debian's orthanc and orthanc-dicomweb; MinIO, built once into the user's cache), measures
# them in turns and prints how they relate. BENCHFLAGS='-scenario s3' and '-scenario dicomweb' tell more.
BENCHFLAGS ?=
bench: build
	go build -trimpath -o bin/bench-compare ./bench/compare
	bin/bench-compare -gantry $(CURDIR)/bin/gantry $(BENCHFLAGS)

# Where the time goes: gantry profiles itself under each of these workloads; the profiles stay below bin/profiles.
WORKLOADS ?= stow,wado-instance,wado-series,metadata,qido,s3-put,s3-get
profile: build
	go build -trimpath -o bin/bench-compare ./bench/compare
	bin/bench-compare -gantry $(CURDIR)/bin/gantry -profile $(WORKLOADS) -profiles $(CURDIR)/bin/profiles

microbench:
	go test -run '^$$' -bench . -benchmem ./...

check:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	.ci/run
