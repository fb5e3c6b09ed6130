//! What a step of a timeline expects.

use num_bigint::BigInt;
use num_rational::BigRational;
use serde_json::Value;

use super::timeline::Acquired;

/// An expectation; each method is one shape of it.
pub(crate) struct Expected<'a>(pub(crate) &'a Value);

impl Expected<'_> {
    fn unknown<T>(&self) -> Result<T, String> {
        Err(format!("unknown expectation {}", self.0))
    }

    fn same<T: PartialEq + std::fmt::Debug>(expected: &T, found: &T) -> Result<(), String> {
        if expected == found { Ok(()) } else { Err(format!("right is {expected:?}, found {found:?}")) }
    }

    pub(crate) fn boolean(&self, found: bool) -> Result<(), String> {
        let Some(expected) = self.0.as_bool() else { return self.unknown() };
        Self::same(&expected, &found)
    }

    pub(crate) fn count(&self, found: u64) -> Result<(), String> {
        let Some(expected) = self.0.as_u64() else { return self.unknown() };
        Self::same(&expected, &found)
    }

    pub(crate) fn level(&self, found: i64) -> Result<(), String> {
        let Some(expected) = self.0.as_i64() else { return self.unknown() };
        Self::same(&expected, &found)
    }

    pub(crate) fn wait(&self, found: Option<u64>) -> Result<(), String> {
        let expected = match self.0 {
            Value::String(word) if word == "never" => None,
            Value::Number(number) if number.is_u64() => number.as_u64(),
            _ => return self.unknown(),
        };
        Self::same(&expected, &found)
    }

    pub(crate) fn reservation(&self, found: Option<u64>) -> Result<(), String> {
        let expected = match self.0 {
            Value::Bool(false) => None,
            Value::Number(number) if number.is_u64() => number.as_u64(),
            _ => return self.unknown(),
        };
        Self::same(&expected, &found)
    }

    pub(crate) fn acquired(&self, found: Acquired) -> Result<(), String> {
        let expected = match self.0.as_str() {
            Some("ready") => Acquired::Ready,
            Some("pending") => Acquired::Pending,
            Some("error") => Acquired::Error,
            _ => return self.unknown(),
        };
        Self::same(&expected, &found)
    }

    pub(crate) fn ids(&self, found: &[String]) -> Result<(), String> {
        let Some(expected) = self.0.as_array() else { return self.unknown() };
        let Some(expected) = expected.iter().map(Value::as_str).collect::<Option<Vec<_>>>() else {
            return self.unknown();
        };
        Self::same(&expected, &found.iter().map(String::as_str).collect())
    }

    pub(crate) fn nothing(&self) -> Result<(), String> {
        if self.0.is_null() { Ok(()) } else { self.unknown() }
    }
}

/// `exact` is the level before rounding down, as a fraction.
pub(crate) fn check_exact(step: &Value, level: Option<BigRational>) -> Result<(), String> {
    let exact = match &step["exact"] {
        Value::Null => return Ok(()),
        Value::String(text) => {
            text.parse::<BigRational>().map_err(|_| format!("exact is no fraction: {text}"))?
        }
        Value::Number(number) if number.is_i64() => {
            BigRational::from(BigInt::from(number.as_i64().unwrap_or(0)))
        }
        other => return Err(format!("exact is no fraction: {other}")),
    };
    if step["expect"].as_i64().map(BigInt::from) != Some(exact.floor().to_integer()) {
        return Err(format!("exact is {exact}, which does not round down to {}", step["expect"]));
    }
    match level {
        Some(level) if level != exact => Err(format!("exact is {exact}, found {level}")),
        _ => Ok(()),
    }
}
