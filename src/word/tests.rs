//! The packing of the word, and its one loop, of which the models see what several threads make of it.

use super::*;

const MODES: [Mode; 4] = [Mode::Even, Mode::Linger, Mode::Odd, Mode::Queued];
const TATS: [u64; 4] = [0, 1, 12_345, u64::MAX >> 2];

#[test]
fn what_is_packed_is_unpacked() {
    for mode in MODES {
        for tat in TATS {
            let state = State::new(tat, mode);
            assert_eq!((state.tat(), state.mode()), (tat, mode));
            assert_eq!(MODES.map(|other| state.is(other)), MODES.map(|other| other == mode));
            for later in TATS {
                assert_eq!(state.with_tat(later), State::new(later, mode));
            }
        }
    }
    assert_eq!([false, true].map(Mode::clear), [Mode::Even, Mode::Odd]);
}

#[test]
fn a_frozen_word_keeps_its_arrival_time() {
    for mode in MODES {
        let word = Word::new(State::new(7, mode));
        assert_eq!(word.freeze(), State::new(7, mode));
        assert_eq!(word.load(), State::new(7, Mode::Queued));
        word.thaw(State::new(9, Mode::Odd));
        assert_eq!(word.load(), State::new(9, Mode::Odd));
    }
}

/// Somebody else comes between the look and the exchange, three times.
#[test]
fn a_step_is_taken_from_the_state_that_it_replaces() {
    let word = Word::new(State::new(0, Mode::Even));
    let mut seen = Vec::new();
    let outcome = word.transition(|state| {
        seen.push(state.tat());
        if state.tat() < 30 {
            word.thaw(state.with_tat(state.tat() + 10));
        }
        Step::Set(state.with_tat(state.tat() + 1), seen.len())
    });
    seen.dedup();
    assert_eq!((seen, word.load()), (vec![0, 10, 20, 30], State::new(31, Mode::Even)));
    assert!(outcome >= 4, "what it came to is that of the last step");
    assert_eq!(word.transition(|state| Step::Keep(state.tat())), 31);
}
