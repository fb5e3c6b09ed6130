#!/usr/bin/env bash
# Runs what takes longer than `.ci/run`, and keeps what it counted in docs/verification/, a file for each part:
# `scripts/verify.sh loom fuzz`. `scripts/verify.sh all` runs all parts but the mutants and the soak, which take hours; with
# SOAK=1 the soak too. `scripts/verify.sh --check` runs nothing, and fails if docs/VERIFICATION.md names a file that
# does not exist.
#
# The parts: loom (LOOM_SECONDS for each model without any bound, 60 unless set), faults (those named in FAULTS, else
# all), tests, fuzz (FUZZ_SECONDS for each target, 30), miri (MIRI_SEEDS), tsan, soak, and mutants. Each file says the day and
# the commit it was measured at, which ends in `+` if the tree had other changes than those of docs/: in its first
# line, or in each line of faults and mutants.
source "$(dirname "$0")/../.ci/lib.sh"

kept=docs/verification
scratch=$base/verify
mkdir -p "$kept" "$scratch"

check() {
    local path missing=0
    while read -r path; do
        [ -e "$path" ] || { echo "docs/VERIFICATION.md names what does not exist: $path"; missing=1; }
    done < <(grep -oE '`(src|tests|docs|fuzz|faults|scripts|\.ci)/[^`* ]*' docs/VERIFICATION.md | tr -d '`')
    return "$missing"
}

measure() {
    local part=$1 commit
    commit=$(revision)
    echo "=================== $part"
    rm -f "$scratch/$part"
    case $part in
        # What these write says by itself when and where. Worth keeping also where a mutant has survived.
        mutants) MUTANTS_REPORT=$kept/mutants.txt bash scripts/mutants.sh || [ $? -eq 10 ]; return ;;
        faults) bash scripts/verify/faults.sh "$kept/faults.txt" "$(date +%F) $commit"; return ;;
        loom) LOOM_SECONDS=${LOOM_SECONDS:-60} LOOM_TABLE=$scratch/loom bash scripts/loom.sh ;;
        miri | tsan) bash scripts/verify/traced.sh "$part" "$scratch/$part" ;;
        *) bash "scripts/verify/$part.sh" "$scratch/$part" ;;
    esac
    { echo "# $(date +%F) $commit"; cat "$scratch/$part"; } >"$kept/$part.txt"
}

parts=()
for part in "$@"; do
    case $part in
        --check) check ;;
        all)
            parts+=(loom faults tests fuzz miri tsan)
            [ -z "${SOAK:-}" ] || parts+=(soak)
            ;;
        *) parts+=("$part") ;;
    esac
done
for part in "${parts[@]}"; do
    measure "$part"
done
