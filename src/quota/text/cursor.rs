//! A place in a text, and what is there.

use crate::error::QuotaError;

/// What is left of a text.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    end: usize,
}

/// `digits / scale`; the scale is a power of ten.
pub(super) struct Number {
    pub(super) digits: u128,
    pub(super) scale: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, end: text.len() }
    }

    /// The parts of the text between separators.
    pub(super) fn split(text: &'a str, separator: char) -> impl Iterator<Item = Self> {
        let mut next = 0;
        text.split(separator).map(move |part| {
            let at = next;
            next += part.len() + separator.len_utf8();
            Self { text, at, end: at + part.len() }
        })
    }

    /// The position, in bytes from the start of the text.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..self.end]
    }

    /// Whether there is only white space left, which is skipped.
    pub(super) fn at_end(&mut self) -> bool {
        self.skip_space();
        self.rest().is_empty()
    }

    pub(super) fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Goes on behind these characters, which are next.
    pub(super) fn skip(&mut self, next: &str) {
        debug_assert!(self.rest().starts_with(next));
        self.at += next.len();
    }

    fn prefix(&self, pass: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find(|c| !pass(c)).unwrap_or(rest.len())]
    }

    /// The letters that are next; may be empty.
    pub(super) fn word(&self) -> &'a str {
        self.prefix(char::is_alphabetic)
    }

    pub(super) fn starts_with_digit(&self) -> bool {
        self.rest().starts_with(|c: char| c.is_ascii_digit())
    }

    /// Skips white space and one of these characters, if one is next.
    pub(super) fn eat(&mut self, any: &[char]) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(any);
        // They are all of ASCII.
        self.at += usize::from(found);
        found
    }

    /// Skips white space and one of these words, if one is next.
    pub(super) fn keyword(&mut self, any: &[&str]) -> bool {
        self.skip_space();
        let next = self.prefix(|c| c.is_alphanumeric() || c == '-' || c == '_');
        let found = any.iter().any(|word| next.eq_ignore_ascii_case(word));
        if found {
            self.skip(next);
        }
        found
    }

    /// Skips white space and the next word, if it has a meaning.
    pub(super) fn word_in<T>(&mut self, meaning: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.skip_space();
        let word = self.word();
        let found = meaning(word)?;
        self.skip(word);
        Some(found)
    }

    /// A decimal number without a sign.
    pub(super) fn number(&mut self, expected: &'static str) -> Result<Number, QuotaError> {
        let rest = self.rest();
        if rest.starts_with(['-', '+', '−']) {
            return Err(self.fault("a number without a sign, as in 100/s"));
        }
        if !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return Err(self.fault(expected));
        }
        let written = self.prefix(|c| c.is_ascii_digit() || c == '_' || c == '.');
        let (whole, decimals) = written.split_once('.').unwrap_or((written, "0"));
        let digits_alone = |part: &str| !part.starts_with('_') && !part.ends_with('_') && !part.is_empty();
        if !digits_alone(whole) || !digits_alone(decimals) || decimals.contains('.') {
            return Err(self.fault("digits on both sides of a point or underscore, such as 0.5 or 1_000"));
        }
        let decimals = decimals.replace('_', "");
        let decimals = decimals.trim_end_matches('0');
        if decimals.len() > 18 {
            return Err(self.fault("a number with at most 18 decimals"));
        }
        let scale = 10_u64.pow(decimals.len() as u32);
        let Ok(whole) = whole.replace('_', "").parse::<u64>() else {
            return Err(self.fault("a number below 2^64"));
        };
        let decimals =
            if decimals.is_empty() { 0 } else { decimals.parse::<u64>().expect("at most 18 digits") };
        self.skip(written);
        Ok(Number { digits: u128::from(whole) * u128::from(scale) + u128::from(decimals), scale })
    }

    /// The error that something else should be next.
    pub(super) fn fault(&self, expected: &'static str) -> QuotaError {
        self.fault_at(self.at, expected)
    }

    /// The error that something else should be at `at`.
    pub(super) fn fault_at(&self, at: usize, expected: &'static str) -> QuotaError {
        QuotaError::Syntax { text: self.text.to_owned(), at, expected }
    }
}
