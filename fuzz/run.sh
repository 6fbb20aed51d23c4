#!/bin/sh
# Fuzzes every target (or those named) for SECONDS_EACH seconds, 60 unless set. Needs nightly Rust and `cargo install cargo-fuzz`.
# What is found new goes to corpus/, which is not committed; a crash ends the script and leaves its input under artifacts/.
set -eu
cd "$(dirname "$0")"
seconds=${SECONDS_EACH:-60}
targets=${*:-$(cargo +nightly fuzz list)}
for target in $targets; do
    mkdir -p "corpus/$target"
    echo "== $target, $seconds s"
    # The crate forbids unsafe code, so the address sanitizer would only slow things down.
    cargo +nightly fuzz run -s none "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -rss_limit_mb=2048 -timeout=10 -print_final_stats=1
done
