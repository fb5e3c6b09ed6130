#!/usr/bin/env bash
# Prints docs/VERIFICATION.md, made of the results in a directory: `page.sh DIRECTORY`. Fails if a test, model, fault or
# fuzz target that is named in promises.txt does not exist.
source "$(dirname "$0")/../../.ci/lib.sh"
# Who is named and not there ends all of it, in however deep a substitution that is found.
shopt -s inherit_errexit

kept=$1
here=scripts/verify

has() { [ -s "$kept/$1.txt" ]; }
# What a part has measured, without its first line.
result() { sed 1d "$kept/$1.txt"; }

# Where and when a part was measured; or that it has not been.
measured() {
    if has "$1"; then
        sed -nE '1s/^# ([^ ]+) (.*)$/Measured on \1 at commit `\2` by/p' "$kept/$1.txt" | tr '\n' ' '
        echo "\`scripts/verify.sh $1\`."
    else
        echo "Not measured yet: \`scripts/verify.sh $1\`."
    fi
    echo
}

# Of what is a number alone: not of a day, a commit or a name.
thousands() { perl -pe 's{(?<![\w.`-])\d{4,}(?![\w-])}{scalar reverse(join ",", unpack("(A3)*", reverse $&))}ge'; }

# The claim at the head of a file of models.
claim() {
    sed -nE '/^\/\/! ?/!q; s/^\/\/! ?//p' "src/models/$1.rs" | tr '\n' ' ' | sed -E 's/^Claim: //; s/ +$//; s/^./\U&/'
}

named() { echo "promises.txt names what is not there: $*" >&2; exit 1; }

# Those of a kind that are named in promises.txt for a promise: `FIRST OTHERS` a line.
lines() { sed -n "s/^$1 $2 //p" $here/promises.txt; }

# Names those that were not run, for which there are no numbers: `missing WHAT`, their names a line each.
missing() {
    local names
    mapfile -t names
    [ ${#names[@]} -eq 0 ] || printf '\nWithout numbers, for they were not run, or not to their end, of the %s: %s.\n' "$1" "$(quoted "${names[@]}")"
}

# `a`, `b`
quoted() { printf '`%s`, ' "$@" | sed 's/, $//'; }

# Fails unless there is a file of each name: `exist DIRECTORY EXTENSION NAME ...`.
exist() {
    local name
    for name in "${@:3}"; do
        [ -e "$1/$name.$2" ] || named "$name"
    done
}

# What shows a promise.
shows() {
    local out="" suite names name
    while read -r suite names; do
        read -r -a names <<<"$names"
        for name in "${!names[@]}"; do
            names[name]=$(proved_by "$suite" "${names[name]}")
        done
        out+="tests, \`$suite\`: $(printf '%s, ' "${names[@]}" | sed 's/, $//')<br>"
    done < <(lines "$1" tests)
    read -r -a names < <(lines "$1" models) && out+="models: $(quoted "${names[@]}")<br>" && exist src/models rs "${names[@]}"
    read -r -a names < <(lines "$1" fuzz) && out+="fuzzers: $(quoted "${names[@]}")<br>" && exist fuzz/fuzz_targets rs "${names[@]}"
    read -r -a names < <(lines "$1" faults) && out+="seeded faults: ${#names[@]}<br>" && exist faults fault "${names[@]}"
    [ -n "$out" ] || named "nothing for promise $1"
    echo "${out%<br>}"
}

# A test by its name, with how much it has tried if that is kept.
proved_by() {
    local tried="" files=(src)
    [ "$1" = unit ] || files=("tests/$1.rs" "tests/$1")
    grep -rqsE "fn $2\(" "${files[@]}" || named "$1 $2"
    if has tests; then
        tried=$(result tests | awk -v suite="$1" -v test="$2" '
            { word = $3; sub(/.*::/, "", word) }
            $1 == "property" && $2 == suite && word == test { sum += $4; what = "cases" }
            $1 == "histories" && $2 == test { sum += $3; what = $1 }
            $1 == "timelines" && $2 == "limiter" && test == "the_limiter_agrees_with_every_timeline" { sum += $4; what = $1 }
            END { if (sum) print sum, what }')
    fi
    echo "\`$2\`${tried:+ ($tried)}"
}

# The commands to see it.
commands() {
    local suites
    suites=$(lines "$1" tests | awk '{ printf " %s", $1 == "unit" ? "--lib" : "--test " $1 }')
    {
        echo "cargo test --all-features$suites"
        lines "$1" models | sed 's/^/scripts\/loom.sh /'
        lines "$1" faults | sed 's/^/scripts\/faults.sh /'
        lines "$1" fuzz | sed 's/.*/bash .ci\/run fuzz/'
    } | sed 's/.*/`&`<br>/' | tr -d '\n' | sed 's/<br>$//'
}

# The promises of the README: `NUMBER TEXT`, the text to the end of its first sentence.
promises() {
    awk '
        function flush() {
            if (text == "") return
            name = end = text
            sub(/\*\* .*/, "**", name)
            sub(/^[^*]*\*\*[^*]*\*\* /, "", end)
            sub(/\. .*/, ".", end)
            print name " " end
            text = ""
        }
        /^## / { flush(); here = $2 == "Promises"; next }
        !here { next }
        /^[0-9]+\. \*\*/ { flush(); sub(/\./, ""); text = $0; next }
        /^   / && text != "" { sub(/^ +/, " "); text = text $0; next }
        { flush() }
        END { flush() }' README.md
}

cat <<'TEXT'
# Verification

What is promised, what shows it, and how to see for yourself. Written by `scripts/verify.sh` from the results in
`docs/verification/`; run it again rather than change this page. No number here was counted by hand. Seconds and
speeds are those of a small machine that had other work as well.

The promises are those of the [README](../README.md#promises), which has their full text. A seeded fault is a mistake
made on purpose in a copy of the sources: a test or a model has to fail. What is not shown by any of this is said
[at the end](#what-is-not-proved).

## The promises

| promise | what shows it | command |
|---|---|---|
TEXT
while read -r number text; do
    evidence=$(shows "$number" | thousands)
    echo "| $number. $text | $evidence | $(commands "$number") |"
done < <(promises)

cat <<'TEXT'

## Interleavings

Each claim is that of one file in `src/models/`, checked by [loom](https://docs.rs/loom): it runs a model in one
interleaving after the other, with all values that a load may return.

| claim | models | command |
|---|---|---|
TEXT
for file in src/models/*.rs; do
    name=$(basename "$file" .rs)
    models=$(grep -c '^#\[test\]' "$file")
    echo "| \`$name\`: $(claim "$name") | $models | \`scripts/loom.sh $name\` |"
done
echo
measured loom
if has loom; then
    bash $here/tables.sh loom <(result loom) | thousands
    missing models < <(grep -A1 '^#\[test\]' src/models/*.rs | sed -nE 's/^src\/models\/(.*)\.rs-fn ([a-z_0-9]+)\(.*/\1::\2/p' \
        | grep -vxFf <(result loom | cut -d ' ' -f 1))
fi

printf '\n## Seeded faults\n\n'
if has faults; then
    # Each line says when and where it was.
    bash $here/tables.sh faults "$kept/faults.txt"
    missing faults < <(printf '%s\n' faults/*.fault | sed -E 's/.*\/(.*)\.fault/\1/' | grep -vxFf <(cut -d ' ' -f 1 "$kept/faults.txt"))
fi

printf '\n## Tests\n\n'
measured tests
if has tests; then
    bash $here/tables.sh tests <(result tests) | thousands
    missing "files of tests" < <(printf '%s\n' tests/*.rs | sed -E 's/tests\/(.*)\.rs/\1/' \
        | grep -vxFf <(result tests | sed -n 's/^suite \([^ ]*\) .*/\1/p'))
fi

printf '\n## Fuzzing\n\n'
measured fuzz
if has fuzz; then
    bash $here/tables.sh fuzz <(result fuzz) | thousands
    missing targets < <(printf '%s\n' fuzz/fuzz_targets/*.rs | sed -E 's/.*\/(.*)\.rs/\1/' \
        | grep -vxFf <(result fuzz | cut -d ' ' -f 1))
fi

printf '\n## Miri and ThreadSanitizer\n\n'
echo 'Miri interprets the tests and finds undefined behaviour, in the interleavings of several seeds; it runs the only'
echo 'part with `unsafe` code, `src/queue/list.rs`. ThreadSanitizer finds data races.'
echo
for job in miri tsan; do
    measured $job
    printf 'What `.ci/%s.sh` runs:\n\n```sh\n' $job
    # With the lines that go on, and the flags, which say how many seeds.
    awk '!/^echo/ && /FLAGS=|cargo \+nightly/ || more { print; more = /\\$/ }' .ci/$job.sh
    printf '```\n'
    if has $job; then
        echo
        bash $here/tables.sh traced <(result $job) | thousands
    fi
    echo
done

printf '## Mutants\n\n'
echo 'A mutant is a change that a program makes, one at every place where it can, and not where a person would.'
echo
if [ -s "$kept/mutants.txt" ]; then
    echo "Regenerate with \`scripts/verify.sh mutants\`, or for some files with"
    echo "\`MUTANTS_REPORT=$kept/mutants.txt scripts/mutants.sh FILE ...\`."
    echo
    bash $here/tables.sh mutants "$kept/mutants.txt" | thousands
else
    measured mutants
fi

printf '\n## Soak\n\n'
measured soak
has soak && bash $here/tables.sh soak <(result soak) | thousands

echo
cat $here/limits.md
