#!/usr/bin/env bash
# Writes docs/VERIFICATION.md from what was measured: `scripts/verify.sh` puts the page together from the results kept
# in docs/verification/. `scripts/verify.sh loom fuzz` measures these parts anew first, `scripts/verify.sh all` all
# but the mutants and the soak, which take hours; with SOAK=1 the soak too. With `--check` it writes nothing, and fails
# unless the page is what would be written.
#
# The parts: loom (LOOM_SECONDS for each model without any bound, 60 unless set), faults (those named in FAULTS, else
# all), tests, fuzz (FUZZ_SECONDS for each target, 30), miri (MIRI_SEEDS), tsan, soak, and mutants. What a part keeps
# says the day and the commit it was measured at, which ends in `+` if the tree had other changes than those of this
# page: at its beginning, or in each line of faults and mutants.
source "$(dirname "$0")/../.ci/lib.sh"

kept=docs/verification
scratch=$base/verify
mkdir -p "$kept" "$scratch"

measure() {
    local part=$1 commit
    commit=$(revision)
    echo "=================== $part"
    rm -f "$scratch/$part"
    case $part in
        # What these write says by itself when and where. Worth keeping also where a mutant has survived.
        mutants) MUTANTS_REPORT=$kept/mutants.txt bash scripts/mutants.sh || [ $? -eq 10 ] ;;
        faults) bash scripts/verify/faults.sh "$kept/faults.txt" "$(date +%F) $commit" ;;
        *)
            bash "scripts/verify/$part.sh" "$scratch/$part"
            { echo "# $(date +%F) $commit"; cat "$scratch/$part"; } >"$kept/$part.txt"
            ;;
    esac
}

parts=()
for part in "$@"; do
    case $part in
        --check) ;;
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

bash scripts/verify/page.sh "$kept" >"$scratch/page"
if [ "${1:-}" = --check ]; then
    diff "$scratch/page" docs/VERIFICATION.md || { echo "docs/VERIFICATION.md is not what scripts/verify.sh writes"; exit 1; }
else
    cp "$scratch/page" docs/VERIFICATION.md
fi
