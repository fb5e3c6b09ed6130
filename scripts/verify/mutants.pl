# For scripts/mutants.sh: prints the results by file, and the mutants that no test noticed and no line explains.
#
# In the report a line is either
#     FILE DATE COMMIT MUTANTS CAUGHT TIMEOUT UNVIABLE MISSED EXPLAINED
# or `! ` and a mutant that was missed and not explained. The lines of files without mutants in this run stay. The exit
# status is 10 if there are missed and unexplained mutants.
use strict;
use warnings;
my ($base, $explained, $date, $commit, $report) = @ARGV;

sub lines { open my $file, '<', $_[0] or return; chomp(my @lines = <$file>); return @lines }

# How each mutant ended. A mutant that one round caught may be missed in another.
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
    die "$explained: twice: $1\n" if $reasons{$1}++;
}
%ended or die "there was no mutant\n";
# The place of a mutant among the mutants with the same text in one function.
my (%alike, %place);
sub place { return sprintf '%06d:%06d', $_[0] =~ /:(\d+):(\d+): / }
for my $mutant (sort { place($a) cmp place($b) } keys %ended) {
    my ($file, $text) = $mutant =~ /^(.+?):\d+:\d+: (.+)$/ or die "$mutant: not as expected\n";
    push @{$alike{"$file: $text"}}, $mutant;
}
for my $text (keys %alike) {
    my @all = @{$alike{$text}};
    $place{$all[$_]} = @all == 1 ? $text : "$text (" . ($_ + 1) . ' of ' . @all . ')' for 0 .. $#all;
}
my (%count, %missed);
for my $mutant (sort keys %ended) {
    my ($file) = $mutant =~ /^(.+?):/;
    $count{$file}{mutants}++, $count{$file}{$ended{$mutant}}++;
    next unless $ended{$mutant} eq 'missed';
    if (delete $reasons{$place{$mutant}}) {
        $count{$file}{explained}++;
    } else {
        push @{$missed{$file}}, $mutant;
    }
}
my @columns = qw(mutants caught timeout unviable missed explained);
print "\n";
printf "%-28s" . " %9s" x @columns . "\n", 'file', @columns;
my (%all, %kept);
for my $file (sort keys %count) {
    my @row = map { $count{$file}{$_} // 0 } @columns;
    printf "%-28s" . " %9d" x @columns . "\n", $file, @row;
    $all{$columns[$_]} += $row[$_] for 0 .. $#columns;
    $kept{$file} = join '', map { "$_\n" } "$file $date $commit @row", map { "! $_" } @{$missed{$file} // []};
}
printf "%-28s" . " %9d" x @columns . "\n", 'all', map { $all{$_} // 0 } @columns;
my @missed = map { @{$missed{$_}} } sort keys %missed;
print "\nnobody notices, and nobody has explained:\n", map { "  $_ -- $place{$_}\n" } @missed if @missed;
# Explanations of files without mutants in this run are not checked.
my @idle = grep { $count{(split /: /)[0]} } sort keys %reasons;
print "\nexplained, but noticed, or no mutant any more:\n", map { "  $_\n" } @idle if @idle;
if ($report) {
    for (lines($report)) {
        my ($file) = /^(?:! )?([^ :]+)/ or next;
        $kept{$file} .= "$_\n" unless $count{$file};
    }
    open my $out, '>', $report or die "$report: $!\n";
    print $out map { $kept{$_} } sort keys %kept;
}
exit(@missed ? 10 : 0);
