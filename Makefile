# Everything a person or a machine does here. `make help` lists it.
#
# The lab needs root, and Debian's packages below; `make deps` installs those that are missing.

SHELL := /bin/bash
CARGO ?= cargo
PACKAGES := bird2 ca-certificates chromium chromium-driver curl debhelper dpkg-dev etcd-client etcd-server exabgp fish frr gcc gobgpd iproute2 ipvsadm jq kmod knot libc6-dev libprotobuf-dev lintian lowdown man-db mmdebstrap nftables nginx-light openssl procps prometheus protobuf-compiler python3-jsonschema python3-venv python3-yaml strace systemd tcpdump user-mode-linux zsh

.DEFAULT_GOAL := help
.PHONY: help deps kube guest schemathesis build test demo lab bench bench-ipvs bench-health bench-sources bench-bgp bench-nodes bench-operator bench-fib deb lint clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install the Debian packages that are missing (root), and unpack BIRD 1.6
	@tests/install-packages $(PACKAGES)
	@tests/unpack-package bird

build: ## build everything: lvsd, lvsctl, the lab, all tests
	$(CARGO) build --workspace --all-targets

kube: ## build the API server of Kubernetes that tests use, once (four minutes); it outlives `make clean`
	@tests/kube/build >/dev/null

guest: deps ## unpack the small Debian that tests boot, once (half a minute, root); it outlives `make clean`
	@tests/guest/tree >/dev/null

schemathesis: deps ## install schemathesis, by which tests ask the control socket, once (half a minute); it outlives `make clean`
	@tests/openapi/install >/dev/null

test: deps kube guest schemathesis build ## run every test, unit tests to lab (root); ends with "N passed, N failed"
	@tests/run-everything

demo: deps ## watch a balancer's day under continuous traffic (root); leaves target/demo/
	$(CARGO) build -p lvsd -p lab --bin lvsd --bin lvsctl --bin demo
	@"$${CARGO_TARGET_DIR:-target}"/debug/demo

lab: deps ## a shell in the demo's network, lvsd running (root)
	$(CARGO) build -p lvsd -p lab --bin lvsd --bin lvsctl --bin shell
	@"$${CARGO_TARGET_DIR:-target}"/debug/shell

bench: deps ## measure how soon lvsd acts and what it costs (root); leaves target/bench/agent.json
	$(CARGO) build --quiet --release -p lvsd -p lab --bin lvsd --bin lvsctl --bin bench
	@chrt --rr 1 taskset --cpu-list 0 "$${CARGO_TARGET_DIR:-target}"/release/bench

bench-ipvs: deps ## measure what thousands of services cost, beside keepalived and ipvsadm (root); leaves target/bench/ipvs.*
	@tests/install-packages keepalived
	$(CARGO) build --quiet --release -p lvsd -p lab --bin lvsd --bin lvsctl --bin bench_ipvs --example core_at_scale
	@chrt --rr 1 taskset --cpu-list 0 "$${CARGO_TARGET_DIR:-target}"/release/bench_ipvs

bench-health: deps ## measure what checks cost and how soon a dead server is out, beside keepalived (root); leaves target/bench/health*
	@tests/install-packages keepalived nftables
	$(CARGO) build --quiet --release -p lvsd -p lab --bin lvsd --bin lvsctl --bin bench_health
	@chrt --rr 1 "$${CARGO_TARGET_DIR:-target}"/release/bench_health

bench-sources: deps ## measure what thousands of pools in Kubernetes and etcd cost, and how soon balancers follow (root); leaves target/bench/sources.*
	$(CARGO) build --quiet --release -p lvsd -p lab --bin lvsd --bin lvsctl --bin bench_sources --example core_at_scale --example cluster_at_scale
	@chrt --rr 1 taskset --cpu-list 0 "$${CARGO_TARGET_DIR:-target}"/release/bench_sources

bench-bgp: deps ## measure BGP: messages beside other codecs, routes beside BIRD, FRR and GoBGP (root); leaves target/bench/bgp*, writes docs/performance.md
	@rm -f "$${CARGO_TARGET_DIR:-target}"/bench/bgp.json
	$(CARGO) bench --quiet -p lvsd-bgp --bench codec
	$(CARGO) bench --quiet -p lvsd-bgp --bench speakers --no-run
	@chrt --rr 1 $(CARGO) bench --quiet -p lvsd-bgp --bench speakers

bench-nodes: deps ## measure what a thousand nodes of a cluster cost, and how soon a block that moves is followed (root); leaves target/bench/nodes.json
	$(CARGO) build --quiet --release -p lvsd -p lab --bin lvsd --bin lvsctl --bin bench_nodes
	@chrt --rr 1 taskset --cpu-list 0 "$${CARGO_TARGET_DIR:-target}"/release/bench_nodes

bench-operator: deps ## measure how soon lvsctl and /metrics answer at a thousand services (root); leaves target/bench/operator.json
	$(CARGO) build --quiet --release -p lvsd -p lab --bin lvsd --bin lvsctl --bin bench_operator
	@"$${CARGO_TARGET_DIR:-target}"/release/bench_operator

bench-fib: deps ## measure how fast routes get into the kernel, beside BIRD and iproute2 (root); leaves target/bench/fib.json
	$(CARGO) build --quiet --release -p lvsd --example fib_beside_bird
	@mkdir -p "$${CARGO_TARGET_DIR:-target}"/bench
	@chrt --rr 1 "$${CARGO_TARGET_DIR:-target}"/release/examples/fib_beside_bird "$${CARGO_TARGET_DIR:-target}"/bench/fib.json

deb: ## build the Debian package: target/deb/lvsd_VERSION_ARCHITECTURE.deb (root, for what is missing)
	@tests/install-packages debhelper dpkg-dev lowdown
	$(CARGO) build --release -p lvsd --bins --example manuals
	@systemd/debian/build "$${CARGO_TARGET_DIR:-target}"/release "$${CARGO_TARGET_DIR:-target}"/deb

lint: ## formatting, clippy without warnings, licences and sources of dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check bans licenses sources

clean: ## remove what was built
	$(CARGO) clean
