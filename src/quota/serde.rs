//! Serializes a quota as its text form. Reads it from this form, or from a map of its parts.

use core::{fmt, time::Duration};

use serde_core::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Unexpected, Visitor},
};

use super::{
    Quota,
    text::{Options, parse_period},
};
use crate::error::{QuotaError, write_syntax};

impl Serialize for Quota {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(TextOrParts)
        } else {
            // Binary formats do not tell what comes. They hold what is serialized, which is a text.
            deserializer.deserialize_str(TextOrParts)
        }
    }
}

struct TextOrParts;

impl<'de> Visitor<'de> for TextOrParts {
    type Value = Quota;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the text of a quota, such as \"100/s burst 20\", or a map with permits (or at_most) and period",
        )
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Quota, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Quota, A::Error> {
        let (mut permits, mut at_most, mut period) = (None, None, None);
        let mut options = Options::default();
        while let Some(part) = map.next_key()? {
            let twice = match part {
                Part::Permits => permits.replace(map.next_value::<Permits>()?.0).is_some(),
                Part::AtMost => at_most.replace(map.next_value::<Permits>()?.0).is_some(),
                Part::Period => period.replace(map.next_value::<Period>()?.0).is_some(),
                Part::Burst => set(&mut options.burst, map.next_value::<Option<Permits>>()?.map(|n| n.0)),
                Part::Initial => set(&mut options.initial, map.next_value::<Option<Permits>>()?.map(|n| n.0)),
                Part::CatchUp => {
                    set(&mut options.catch_up_ns, map.next_value::<Option<Period>>()?.map(|p| p.0))
                }
            };
            if twice {
                return Err(A::Error::duplicate_field(part.name()));
            }
        }
        let period = Duration::from_nanos(period.ok_or_else(|| A::Error::missing_field("period"))?);
        let quota = match (permits, at_most) {
            (Some(0), None) | (None, Some(0)) => Ok(Quota::BLOCKED),
            (Some(permits), None) => Quota::try_new(permits, period),
            (None, Some(permits)) => Quota::try_at_most(permits, period),
            (None, None) => return Err(A::Error::missing_field("permits")),
            (Some(_), Some(_)) => return Err(A::Error::custom("permits and at_most: write one of them")),
        };
        quota.and_then(|quota| options.apply(quota)).map_err(A::Error::custom)
    }
}

/// Sets a part that may be left out or null. Whether it was set before.
fn set(part: &mut Option<u64>, value: Option<u64>) -> bool {
    let before = *part;
    *part = value.or(before);
    before.is_some()
}

/// The key of a part.
#[derive(Clone, Copy)]
enum Part {
    Permits,
    AtMost,
    Period,
    Burst,
    Initial,
    CatchUp,
}

impl Part {
    const ALL: [Self; 6] =
        [Self::Permits, Self::AtMost, Self::Period, Self::Burst, Self::Initial, Self::CatchUp];
    const NAMES: [&'static str; 6] = ["permits", "at_most", "period", "burst", "initial", "catch_up"];

    fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(PartName)
    }
}

struct PartName;

impl Visitor<'_> for PartName {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permits, at_most, period, burst, initial or catch_up")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Part, E> {
        Part::ALL
            .into_iter()
            .find(|part| part.name() == name)
            .ok_or_else(|| E::unknown_field(name, &Part::NAMES))
    }
}

/// A number of permits.
struct Permits(u64);

impl<'de> Deserialize<'de> for Permits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(PermitsNumber)
    }
}

struct PermitsNumber;

impl Visitor<'_> for PermitsNumber {
    type Value = Permits;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of permits (a fractional rate is written as text, such as \"2.5/min\")")
    }

    fn visit_u64<E: Error>(self, permits: u64) -> Result<Permits, E> {
        Ok(Permits(permits))
    }

    fn visit_i64<E: Error>(self, permits: i64) -> Result<Permits, E> {
        match u64::try_from(permits) {
            Ok(permits) => Ok(Permits(permits)),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(permits), &self)),
        }
    }
}

/// A period in nanoseconds.
struct Period(u64);

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(PeriodText)
    }
}

struct PeriodText;

impl Visitor<'_> for PeriodText {
    type Value = Period;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text of a period, such as \"10s\" or \"1.5 min\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Period, E> {
        parse_period(text).map(Period).map_err(|error| E::custom(PeriodFault(error)))
    }
}

/// The error of a text that is a period and no quota.
struct PeriodFault(QuotaError);

impl fmt::Display for PeriodFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            QuotaError::Syntax { text, at, expected } => write_syntax(f, "period", text, *at, expected),
            other => other.fmt(f),
        }
    }
}
