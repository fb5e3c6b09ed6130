//! The packing of the word, and its one loop, of which the models see what several threads make of it.

use super::*;

const TATS: [u64; 4] = [0, 1, 12_345, u64::MAX >> 2];

fn states(tat: u64) -> impl Iterator<Item = (State, bool, bool)> {
    [(false, false), (false, true), (true, false), (true, true)]
        .into_iter()
        .map(move |(owned, credit)| (State::new(tat, owned, credit), owned, credit))
}

#[test]
fn what_is_packed_is_unpacked() {
    for tat in TATS {
        for (state, owned, credit) in states(tat) {
            assert_eq!((state.tat(), state.is_owned(), state.has_credit()), (tat, owned, credit));
            for later in TATS {
                assert_eq!(state.with_tat(later), State::new(later, owned, credit));
            }
        }
    }
}

#[test]
fn words_that_differ_in_anything_differ_as_numbers() {
    let mut numbers: Vec<_> =
        TATS.iter().flat_map(|&tat| states(tat)).map(|(state, ..)| state.to_bits()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 4 * TATS.len());
}

#[test]
fn a_frozen_word_keeps_its_tat_and_its_credit() {
    for (state, _, credit) in states(7) {
        let word = Word::new(state);
        assert_eq!(word.freeze(), state);
        assert_eq!(word.load(), State::new(7, true, credit));
        word.thaw(State::new(9, false, false));
        assert_eq!(word.load(), State::new(9, false, false));
    }
}

/// Another thread comes between the look and the exchange, three times.
#[test]
fn a_change_is_made_to_the_state_that_it_replaces() {
    let word = Word::new(State::new(0, false, true));
    let mut seen = Vec::new();
    let outcome = word.transition(|state| {
        seen.push(state.tat());
        if state.tat() < 30 {
            word.thaw(state.with_tat(state.tat() + 10));
        }
        Change::Set(state.with_tat(state.tat() + 1), seen.len())
    });
    seen.dedup();
    assert_eq!((seen, word.load()), (vec![0, 10, 20, 30], State::new(31, false, true)));
    assert!(outcome >= 4, "the outcome is that of the last look");
    assert_eq!(word.transition(|state| Change::Keep(state.tat())), 31);
}

/// The lock holder freezes the word between the look and the exchange of a call without the lock.
#[test]
fn no_change_is_made_to_a_frozen_word() {
    let word = Word::new(State::new(5, false, false));
    let mut looks = 0;
    let taken = word.transition(|state| {
        looks += 1;
        if state.is_owned() {
            return Change::Keep(false);
        }
        assert_eq!(word.freeze(), State::new(5, false, false));
        Change::Set(state.with_tat(6), true)
    });
    assert_eq!((taken, looks, word.load()), (false, 2, State::new(5, true, false)));
}
