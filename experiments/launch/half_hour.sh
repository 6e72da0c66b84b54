#!/usr/bin/env bash
# In-house: what the maintainers run where a GPU is lent for half an hour; its rows have seed 10.
# Half an hour on one GPU, in three calls of at most nine minutes, by value:      half_hour.sh 1|2|3 OUT [DATA_DIR]
# OUT gets one small archive a call, written again after every run, and what else the call prints. The same call on the
# same OUT leaves finished runs out; one that is cut off loses at most the run in work. Nothing is fetched.
# DATA_DIR has LSP Extended for calls 2 and 3:      python -m data lspet --data-dir DATA_DIR ...
# Call 2 starts from ImageNet's weights:            kpjax weights says where they must lie
# A rehearsal on a CPU, with small images:      STEPS=20 experiments/launch/half_hour.sh 1 out
# Then, at home:             tar -xzf OUT/call_1.tar.gz && python -m experiments results gather --workdir runs
# which takes what a table shows: seed 10, since a number of another computer replaces none.
set -u
seed=10
call=${1:?1, 2 or 3} out=$(realpath -m "${2:?a folder for results}") data=$(realpath -m "${3:-$HOME/kpjax_data}")
cd "$(dirname "$0")/../.." || exit 1
end=$((SECONDS + ${LIMIT:-515})) archive=$out/call_$call.tar.gz work=${WORKDIR:-$(mktemp -d)}
mkdir -p "$out" "$work/runs"
[ ! -f "$archive" ] || tar -xzf "$archive" -C "$work"

keep() {  # without models and checkpoints
    (cd "$work" && find runs -name results.json -o -name config.json -o -name skeleton.json \
        -o -name metrics.jsonl -o -name report.html -o -name predictions.npz \
        | grep -v /stages/ | tar -czf "$archive.part" -T - && mv "$archive.part" "$archive")
}
within() {  # at most so many seconds, a command: for what is left of the time
    local left=$((end - SECONDS)) most=$1; shift
    [ "$left" -le "$most" ] || left=$most
    [ "$left" -gt 20 ] || { echo "no time is left for: $*"; return; }
    echo "== $left s left: $*"
    timeout --signal=TERM --kill-after=15 "$left" "$@" 2>&1 | tail -n 40
}
run() {  # a system, a preset and flags: one variant at a time, all of them if the time allows
    local system=$1 preset=$2 variants=$3; shift 3
    for variant in $variants; do
        [ ! -f "$work/runs/$system/$preset/$variant/seed-$seed/results.json" ] || continue
        within 600 python -m "experiments.$system" "$preset" --variants "$variant" --first-seed "$seed" \
            --workdir "$work/runs" --data-dir "$data" "$@" >> "$out/call_$call.txt"
        keep
    done
}

small=${STEPS:+--image-size 64 --heatmap-size 16 --batch-size 8 --test-examples 40}
steps() {  # the flags of a length, which a rehearsal shortens
    [ -n "${STEPS:-}" ] && echo "--steps $STEPS" || echo "--require-accelerator $*"
}

case $call in
1)  run regda dsprites_noisy_scream "regda source_only oracle dd" --dtype bfloat16 \
        $(steps --pretraining-steps 4000 --steps 8000) $small
    within 120 env JAX_PLATFORMS= python -m pytest -p no:cacheprovider -q -n0 tests/augment tests/test_tiled_sampling.py \
        >> "$out/call_1.txt"
    # To compile these steps took 16 cores more than two minutes.
    within 600 python -m experiments.measure.benchmark pytorch --rounds 3 --json "$out/benchmark.json" \
        >> "$out/call_1.txt" ;;
2)  run semi_supervised athletes "supervised sc_only sskl supervised_warped no_sc" \
        $(steps) $small ;;
3)  run incremental lspet "ksd_only kamp lwf joint finetune" --network pose_resnet --dtype bfloat16 \
        $(steps --base-steps 2000 --ka-steps 1000 --steps 2000) $small
    run adaptation demo "adapted finetuned scratch" $(steps)
    run pyramids cluttered "pyramids keynet transporter" $(steps --steps 4000) ;;
esac
ls -l "$out"
