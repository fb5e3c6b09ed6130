#!/usr/bin/env bash
# Makes Markdown of what a part has measured: `tables.sh PART FILE`.
set -euo pipefail

case $1 in
    loom)
        awk -v there="$(cat src/models/*.rs | grep -c '^#\[test\]')" '
            { sum += $3 }
            $7 == "all" { all++; every += $5 }
            $7 == "some" { some++ }
            {
                rows = rows "| `" $1 "` | " $2 " | " $3 " | " $4 " | "
                rows = rows ($7 == "all" ? $5 " | " $6 : "more than " $5 " | not within " $6) " |\n"
            }
            END {
                print "There are " there " models. With the bound on preemptions that each names, " NR " were run, and end after"
                print sum " executions. Without any bound " all + 0 " end, after " every + 0 " executions, and are exhaustive; " some + 0 " do not in the time they were given."
                print ""
                print "| model | bound on preemptions | executions | s | executions without bound | s |"
                print "|---|---:|---:|---:|---:|---:|"
                printf "%s", rows
            }' "$2"
        ;;
    faults)
        awk -v there="$(ls faults/*.fault | wc -l)" -v models="$(cat src/models/*.rs | grep -c '^#\[test\]')" '
            { faults += !seeded[$1]++; missed[$1] += $2 != "killed" }
            $2 == "killed" { kind = $4 == "model" || $4 == "unit" ? $4 : "test"; by[kind] += !noticed[$4 " " $5]++ }
            {
                text = ""
                file = "faults/" $1 ".fault"
                if ((getline text < file) > 0) sub(/^# /, "", text)
                close(file)
                rows = rows "| `" $1 "` | " text " | " $2 " | " $4 " `" $5 "` | " $6 " | `" $7 "` |\n"
            }
            END {
                for (fault in missed) killed += missed[fault] == 0
                print "There are " there + 0 " faults. Of " faults + 0 " that were seeded " killed + 0 " were noticed by every test that was to. Noticing one"
                print "or more: " by["model"] + 0 " of the " models + 0 " models, " by["unit"] + 0 " unit tests, " by["test"] + 0 " tests of `tests/`.\n"
                print "| fault | what is wrong | verdict | by | day | commit |"
                print "|---|---|---|---|---|---|"
                printf "%s", rows
            }' "$2"
        ;;
    tests)
        awk '
            $1 == "suite" && $2 == "unit" { unit = $3 }
            $1 == "suite" && $2 == "doc" { doc = $3 }
            $1 == "suite" && $2 != "unit" && $2 != "doc" { whole += $3; files++ }
            $1 == "property" { properties++; cases += $4; rows = rows "| `" $2 "` `" $3 "` | " $4 " |\n" }
            $1 == "timelines" && $2 == "limiter" { timelines += $4; steps += $5; rejected += $6 }
            $1 == "histories" { histories += $3; calls += $4; overlapping += $5 }
            END {
                print "| what | how many |\n|---|---:|"
                print "| unit tests | " unit " |"
                print "| tests of `tests/`, in " files " files | " whole " |"
                print "| documentation tests | " doc " |"
                print "| of these with random cases (property tests) | " properties " |"
                print "| cases they tried | " cases " |"
                print "| conformance timelines, from the tests and issues of other limiters | " timelines " |"
                print "| of these with a quota that is refused as one | " rejected " |"
                print "| steps of the others | " steps " |"
                print "| recorded histories that were searched for an order (linearizability) | " histories " |"
                print "| of these with calls of two threads at the same time | " overlapping " |"
                print "| calls in all histories | " calls " |"
                print "\n| test with random cases | cases |\n|---|---:|"
                printf "%s", rows
            }' "$2"
        ;;
    fuzz)
        echo "Edges and features are libFuzzer's, of the target and all crates that it is built from, whether it uses them or not."
        echo "The last three columns count only edges that come from a line of \`src/\`: those by the seeds, those by the seeds"
        echo "and the corpus, and all."
        echo
        echo "| target | seeds | edges by the seeds | s | executions | executions a second | edges | features | corpus | of \`src/\`, by the seeds | by the corpus | all |"
        echo "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
        awk '
            function known(number) { return number == "" ? "?" : number }
            { printf "| `%s` | %s | %s | %s | %s | %s | %s of %s | %s | %s | %s | %s | %s |\n",
                $1, $3, $4, $2, $6, $7, $8, $11, $9, $10, known($12), known($13), known($14) }' "$2"
        ;;
    traced)
        echo "| command | seeds | tests passed, over all seeds |"
        echo "|---|---:|---:|"
        awk '{ seeds = $1; passed = $2; sub(/^[^ ]+ [^ ]+ /, ""); print "| `" $0 "` | " seeds " | " passed " |" }' "$2"
        ;;
    mutants)
        echo "| file | day | commit | mutants | a test fails | none ends | do not compile | missed | of these explained |"
        echo "|---|---|---|---:|---:|---:|---:|---:|---:|"
        awk '!/^!/ {
                print "| `" $1 "` | " $2 " | `" $3 "` | " $4 " | " $5 " | " $6 " | " $7 " | " $8 " | " $9 " |"
                for (i = 4; i <= 9; i++) all[i] += $i
            }
            END { print "| all | | | " all[4] " | " all[5] " | " all[6] " | " all[7] " | " all[8] " | " all[9] " |" }' "$2"
        echo
        if grep -q '^!' "$2"; then
            printf 'Missed and not explained:\n\n'
            sed -n 's/^! \(.*\)/- `\1`/p' "$2"
            echo
        fi
        printf 'Why a mutant that was missed cannot be told apart, or who else catches it, as `scripts/mutants.explained` has it:\n\n'
        echo "| file | mutant | why |"
        echo "|---|---|---|"
        sed -nE '/^#/!s/^([^ ]+): (.+) -- (.+)$/\1\t\2\t\3/p' scripts/mutants.explained | LC_ALL=C sort -s -k 1,1 \
            | sed -E 's/\|/\\|/g; s/^([^\t]+)\t([^\t]+)\t(.+)$/| `\1` | `\2` | \3 |/'
        ;;
    soak)
        awk '
            $1 == "passed" { passed = $2; took = $3; next }
            {
                rows = rows "| `" $1 "` | " $2 " | " $3 " | " $4 " | " $5 " | " $6 " | " $7 " | " ($8 == "-" ? "" : $8) " | "
                rows = rows $9 " | " $10 " | " $11 " |\n"
            }
            END {
                print passed " tests passed, in " int(took) " s. Those that count something as they go on:\n"
                print "| test | s | of time | rounds | calls admitted | waiters that left | changes of quota | requests over loopback | memory of | bytes after warming up | in the end |"
                print "|---|---:|---|---:|---:|---:|---:|---:|---|---:|---:|"
                printf "%s", rows
            }' "$2"
        ;;
esac
