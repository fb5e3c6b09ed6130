#!/usr/bin/env bash
# Runs checks for longer than `.ci/run`, and keeps their counts in docs/verification/, a file for each part:
# `scripts/verify.sh loom fuzz`. `scripts/verify.sh all` runs all parts except the mutants and the soak, which take
# hours; with SOAK=1 also the soak. `scripts/verify.sh --check` runs nothing, and fails if docs/VERIFICATION.md names a
# file that does not exist.
#
# The parts: loom (without a bound for LOOM_SECONDS a model, 60 by default), faults (named in FAULTS, or all), tests,
# fuzz (FUZZ_SECONDS a target, 30 by default), miri (MIRI_SEEDS), tsan, soak, and mutants. Each file names the day and
# the commit of its measurement: in its first line, or in each line of faults and mutants. The commit ends in `+` if
# files outside docs/ had changes.
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
        # These two write day and commit themselves. The report is kept also if a mutant survived.
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
