#!/usr/bin/env bash
# Runs the seeded faults, all or the ones named in FAULTS: `faults.sh FILE WHEN`. Writes a line for each fault and test,
# as in scripts/faults.sh, and adds WHEN, the day and the commit. The lines of other faults stay while these faults
# exist.
source "$(dirname "$0")/../../.ci/lib.sh"

kept=$1 when=$2
read -r -d '' -a names <<<"${FAULTS:-}" || true
fresh=$base/verify/faults
rm -f "$fresh"
status=0
FAULT_TABLE=$fresh bash scripts/faults.sh "${names[@]}" || status=$?
[ -s "$fresh" ] || exit "$status"
{
    sed "s/$/ $when/" "$fresh"
    [ ! -e "$kept" ] || while read -r name rest; do
        [ ! -e "faults/$name.fault" ] || grep -q "^$name " "$fresh" || echo "$name $rest"
    done <"$kept"
} | sort >"$fresh.all"
mv "$fresh.all" "$kept"
exit "$status"
