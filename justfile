# The six things people do here. Each calls a command that works without just; `just --list` shows them.

# Build the release binary, target/release/kiln
build:
    cargo build --release --locked

# The fast tests: no root, no network, no VM
test *args:
    cargo nextest run {{ args }}

# Every check and every test, as CI runs them (Debian 12 or 13, installs what is missing)
test-all:
    ci/test

# Check formatting, lints and the rules of tests/tidy.rs
lint:
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
    cargo clippy --locked --no-default-features -- -D warnings
    cargo doc --locked --workspace --no-deps --document-private-items
    cargo test --locked --test tidy

# Form a verified three-member cluster on this machine; `just demo --vm` boots three VMs
demo *args:
    ci/demo {{ args }}

# Rewrite the expected files of the golden and reject tests and the README's tables; read the diff before you commit it
bless:
    KILN_BLESS=1 cargo test --locked --test cases
    KILN_BLESS=1 cargo test --locked --test fast published
