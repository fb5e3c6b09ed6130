#!/usr/bin/env bash
# Seeded faults, all or those named in FAULTS: `faults.sh FILE WHEN`. A line for each fault and test, as scripts/faults.sh
# writes it, and when and where that was. What the file says of other faults stays, as long as there are such.
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
