#!/usr/bin/env bash
# Seeds faults into a copy of the sources, one at a time, and checks that a named model or test catches each:
# `scripts/faults.sh` for all faults, `scripts/faults.sh NAME ...` for some. It does not change the working tree.
#
# A fault is a file in `faults/`: what is wrong, the tests that must catch it, and the replaced text with its
# replacement. The replaced text has to occur exactly once. Each test has a line, in one of these forms:
#     model NAME     a loom model of src/models/
#     unit NAME      a unit test
#     TEST NAME      a test of tests/TEST.rs
# The table at the end shows `killed`, SURVIVED, DOES NOT APPLY, DOES NOT BUILD, TIMED OUT, or BAD TEST: the test does
# not exist or fails without the fault. Any verdict but `killed` fails the run.
#
# FAULT_SECONDS bounds each test. FAULT_TABLE names a file for the table, a line for each fault and test: the fault, the
# verdict, the seconds, and the test. Only the last column contains blanks.
source "$(dirname "$0")/../.ci/lib.sh"

base=$(realpath -m "$base")
copy=$base/faults/copy
log=$base/faults/log
names=("$@")
if [ $# -eq 0 ]; then
    for fault in faults/*.fault; do
        names+=("$(basename "$fault" .fault)")
    done
fi

for name in "${names[@]}"; do
    grep -q '^killed by: ' "faults/$name.fault" || { echo "no fault, or one that nobody is to catch: $name" >&2; exit 1; }
done

# Copies all files that git does not ignore. All get a new time, so cargo uses no build of an earlier copy.
rm -rf "$copy"
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard \
    | tar -c --null --ignore-failed-read -T - 2>"$base/faults/log" | tar -xm -C "$copy"
# The copy shares built dependencies with the working tree. cargo tells packages of one name apart by version and not by
# path, so the copy gets another version.
sed -i '0,/^version = .*/s//version = "0.0.0"/' "$copy/Cargo.toml"

header() { sed -n "s/^$2: //p" "faults/$1.fault"; }

# Replaces the texts of a fault in the copy, and keeps the original file. Fails unless each text occurs exactly once.
apply() {
    cp "$copy/$(header "$1" file)" "$base/faults/sound"
    perl - "faults/$1.fault" "$copy/$(header "$1" file)" <<'PERL'
use strict;
use warnings;
sub slurp { local $/; open my $file, '<', $_[0] or die "$_[0]: $!\n"; return scalar <$file> }
my ($fault, $path) = @ARGV;
my ($changes, $text) = (slurp($fault), slurp($path));
my $count = 0;
while ($changes =~ /^<<<<\n(.*?\n)====\n(.*?)^>>>>$/msg) {
    my ($old, $new) = ($1, $2);
    # The last line may be a part of a line.
    chomp $old;
    chomp $new;
    my @found = $text =~ /\Q$old\E/g;
    die "the text occurs " . @found . " times in $path:\n$old\n" unless @found == 1;
    $text =~ s/\Q$old\E/$new/;
    $count++;
}
die "$fault replaces nothing\n" unless $count;
open my $file, '>', $path or die "$path: $!\n";
print $file $text;
PERL
}

# Builds, or runs, the test `$1 $2` in the copy.
test_in_copy() {
    local kind=$1 name=$2
    shift 2
    cd "$copy"
    case $kind in
        model)
            export RUSTFLAGS="--cfg tidegate_loom"
            CARGO_TARGET_DIR=$base/loom cargo test --release --lib "$@" -- --exact "models::$name"
            ;;
        unit) CARGO_TARGET_DIR=$base cargo test --all-features --lib "$@" -- --exact "$name" ;;
        *) CARGO_TARGET_DIR=$base cargo test --all-features --test "$kind" "$@" -- --exact "$name" ;;
    esac
}
export base copy
export -f test_in_copy

# Runs a test and prints how it ends.
outcome() {
    local kind=$1 name=$2 status=0
    (test_in_copy "$kind" "$name" --no-run) >"$log" 2>&1 || { echo "DOES NOT BUILD"; return; }
    timeout "${FAULT_SECONDS:-300}" bash -c 'test_in_copy "$@"' _ "$kind" "$name" >"$log" 2>&1 || status=$?
    if ! grep -q "^running 1 test" "$log"; then
        echo "BAD TEST"
    elif [ "$status" -eq 124 ]; then
        echo "TIMED OUT"
    elif [ "$status" -eq 0 ]; then
        echo passes
    else
        echo fails
    fi
}

# Prints the verdict on a fault: `verdict APPLIED KIND NAME`. APPLIED is 0 if the fault has been applied.
verdict() {
    if [ "${sound["$2 $3"]}" != passes ]; then
        echo "BAD TEST"
    elif [ "$1" -ne 0 ]; then
        echo "DOES NOT APPLY"
    else
        local outcome
        outcome=$(outcome "$2" "$3")
        case $outcome in
            fails) echo killed ;;
            passes) echo SURVIVED ;;
            *) echo "$outcome" ;;
        esac
    fi
}

table=()
failed=0
[ -z "${FAULT_TABLE:-}" ] || : >"$FAULT_TABLE"
declare -A sound
for name in "${names[@]}"; do
    while read -r kind test; do
        [ -n "${sound["$kind $test"]:-}" ] || sound["$kind $test"]=$(outcome "$kind" "$test" </dev/null)
    done < <(header "$name" "killed by")
done
for name in "${names[@]}"; do
    applied=0
    apply "$name" || applied=1
    while read -r kind test; do
        start=$SECONDS
        verdict=$(verdict $applied "$kind" "$test" </dev/null)
        [ "$verdict" = killed ] || { failed=1; cp -f "$log" "$base/faults/$name.log" 2>/dev/null || true; }
        table+=("$(printf '%-28s %-15s %4d s  %s %s' "$name" "$verdict" $((SECONDS - start)) "$kind" "$test")")
        echo "${table[-1]}"
        [ -z "${FAULT_TABLE:-}" ] || echo "$name ${verdict// /-} $((SECONDS - start)) $kind $test" >>"$FAULT_TABLE"
    done < <(header "$name" "killed by")
    # A new time, so that cargo builds it again.
    [ ! -e "$base/faults/sound" ] || mv "$base/faults/sound" "$copy/$(header "$name" file)"
    touch "$copy/$(header "$name" file)"
done

echo
printf '%s\n' "${table[@]}"
exit "$failed"
