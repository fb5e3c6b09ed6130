#!/usr/bin/env bash
# Changes the sources in small ways, one at a time, by cargo-mutants, and shows which changes no test notices:
# `scripts/mutants.sh` for all files named below (some hours), `scripts/mutants.sh FILE ...` for some. The working tree
# is left alone.
#
# Each mutant has to make a test fail: a unit test, or else one of tests/, the slow ones left out (see
# .config/nextest.toml). What no test notices has to be in `mutants.explained`, one line for each:
#     FILE: MUTANT -- why it cannot be told apart, or who else catches it
# as cargo-mutants prints it, without the line and column. Any other fails the run. Memory orderings are none of its
# changes: for these see `faults.sh`.
#
# MUTANTS_REPORT names a file that the table is written to as Markdown, with the date and the commit.
source "$(dirname "$0")/../.ci/lib.sh"

need_cargo_tool mutants
need_cargo_tool nextest
explained=scripts/mutants.explained
files=("$@")
if [ $# -eq 0 ]; then
    files=(src/gcra.rs src/word.rs src/meter.rs src/published.rs 'src/queue/*.rs' src/shares.rs 'src/shares/*.rs'
        src/per_core.rs 'src/per_core/*.rs')
fi
for file in "${files[@]}"; do
    examined+=(--file "$file")
done

# The copies that the mutants are built in are new ones each time, and what their dependencies were built to is not:
# a folder of its own, for cargo does not tell this package in one place from this package in another.
base=$(realpath -m "$base")/mutants
mkdir -p "$base"
export CARGO_TARGET_DIR=$base/target
# Only one file changes from one build to the next.
export CARGO_INCREMENTAL=1
export CARGO_PROFILE_DEV_DEBUG=0
# A mutant that only few of the cases notice is noticed by other tests, too.
export PROPTEST_CASES=${PROPTEST_CASES:-48}
# One that goes round and round may take all the memory there is.
ulimit -v 6000000
# What is quick to build goes first.
rounds=(
    "--lib"
    "--test=conformance --test=promises --test=peers --test=wakers"
    "--test=several --test=rounds --test=reservation --test=replay --test=panicking_clocks --test=late_readings
        --test=virtual_time --test=threads --test=per_core --test=no_alloc --test=cancel_storm
        --test=held_back --test=timers"
)

rm -rf "$base"/mutants.out "$base"/mutants.out.old "$base"/round-*
options=()
for round in "${!rounds[@]}"; do
    targets=()
    for target in ${rounds[round]}; do
        targets+=(--cargo-arg="$target")
    done
    # It fails where nobody has noticed a mutant, or one ran for too long: by 2 and 3, which is for the table to judge.
    status=0
    cargo mutants --jobs 1 --no-shuffle --timeout "${MUTANT_SECONDS:-60}" --output "$base" "${options[@]}" \
        "${examined[@]}" "${targets[@]}" -- --profile=mutants || status=$?
    case $status in
        0 | 2 | 3) cp -r "$base/mutants.out" "$base/round-$round" ;;
        *) exit "$status" ;;
    esac
    [ -s "$base/mutants.out/missed.txt" ] || break
    # Only what has not been caught so far, by a test that fails or by one that does not end.
    cat "$base/mutants.out/timeout.txt" >>"$base/mutants.out/caught.txt"
    options=(--iterate)
done

perl - "$base" "$explained" "$(date -u +%F)" "$(git describe --always --dirty)" <<'PERL'
use strict;
use warnings;
my ($base, $explained, $date, $commit) = @ARGV;

sub lines { open my $file, '<', $_[0] or return; chomp(my @lines = <$file>); return @lines }

# How each ended; what one round has caught, another need not.
my %ended;
for my $round (sort glob "$base/round-*") {
    for my $how (qw(caught timeout unviable missed)) {
        ($ended{$_} //= $how) =~ s/^missed$/$how/ for lines("$round/$how.txt");
    }
}
my %reasons;
for (lines($explained)) {
    next if /^#|^\s*$/;
    /^(.+?) -- \S/ or die "$explained: no reason: $_\n";
    $reasons{$1}++;
}
my (%count, @missed);
for my $mutant (sort keys %ended) {
    my ($file, $text) = $mutant =~ /^(.+?):\d+:\d+: (.+)$/ or die "$mutant: not as expected\n";
    $count{$_}{mutants}++, $count{$_}{$ended{$mutant}}++ for $file, 'all';
    next unless $ended{$mutant} eq 'missed';
    if ($reasons{"$file: $text"}) {
        $reasons{"$file: $text"}--;
        $count{$_}{explained}++ for $file, 'all';
    } else {
        push @missed, $mutant;
    }
}
my @columns = qw(mutants caught timeout unviable missed explained);
my @rows = map { my $file = $_; [$file, map { $count{$file}{$_} // 0 } @columns] } (grep { $_ ne 'all' } sort keys %count), 'all';
print "\n";
printf "%-28s" . " %9s" x @columns . "\n", 'file', @columns;
printf "%-28s" . " %9d" x @columns . "\n", @$_ for @rows;
print "\nnobody notices, and nobody has explained:\n", map { "  $_\n" } @missed if @missed;
# One of a file that was not looked at says nothing.
my @idle = grep { $reasons{$_} && $count{(split /: /)[0]} } sort keys %reasons;
print "\nexplained, but noticed, or no mutant any more:\n", map { "  $_\n" } @idle if @idle;
if (my $report = $ENV{MUTANTS_REPORT}) {
    open my $file, '>', $report or die "$report: $!\n";
    print $file "Mutants of $date, at `$commit`:\n\n";
    print $file '| ', join(' | ', 'file', @columns), " |\n|---|", '---:|' x @columns, "\n";
    print $file '| ', join(' | ', @$_), " |\n" for map { ["`$$_[0]`", @$_[1 .. $#$_]] } @rows;
    print $file "\nMissed and not explained:\n\n", map { "- `$_`\n" } @missed if @missed;
}
exit(@missed ? 1 : 0);
PERL
