//! The fields of the format. One that is not known here may change what a timeline means, and fails.

use serde_json::Value;

const FILE: [&str; 6] = ["format", "about", "rounding", "profiles", "ops", "timelines"];

const TIMELINE: [&str; 10] = [
    "id",
    "profile",
    "n",
    "period_ns",
    "burst",
    "created_ns",
    "may_reject_config",
    "grants_ns",
    "steps",
    "name",
];

/// Fields of every step.
const STEP: [&str; 3] = ["t_ns", "op", "expect"];

/// Remarks, which change nothing.
const REMARKS: [&str; 6] = ["source", "semantics_notes", "rounding_sensitive", "added", "peer_expect", "why"];

/// What an operation takes besides; `None` if there is no such operation.
fn operands(op: &str) -> Option<&'static [&'static str]> {
    Some(match op {
        "time_to_full" | "reset" | "advance" => &[],
        "try_acquire" | "wait_needed" | "take_up_to" | "force_take" | "refund" => &["n"],
        "try_acquire_repeat" => &["n", "count"],
        "try_acquire_ramp" | "drain_loop" => &["n", "step_ns", "count"],
        "try_acquire_alternate" => &["n", "t2_ns", "count"],
        "available" => &["exact"],
        "set_rate" => &["n", "period_ns"],
        "set_burst" => &["burst"],
        "reserve" => &["n", "id", "max_wait_ns"],
        "acquire" => &["n", "id"],
        "cancel" | "cancel_waiter" => &["id"],
        _ => return None,
    })
}

fn check(value: &Value, known: &[&[&str]]) -> Result<(), String> {
    let fields = value.as_object().ok_or_else(|| format!("no table of fields: {value}"))?;
    match fields.keys().find(|field| !known.iter().any(|known| known.contains(&field.as_str()))) {
        Some(field) => Err(format!("unknown field {field}")),
        None => Ok(()),
    }
}

/// Checks a file, but not its timelines.
pub(crate) fn check_file(file: &Value) -> Result<(), String> {
    check(file, &[&FILE])
}

/// Checks a timeline, but not its steps.
pub(crate) fn check_timeline(timeline: &Value) -> Result<(), String> {
    check(timeline, &[&TIMELINE, &REMARKS])?;
    match &timeline["may_reject_config"] {
        Value::Null | Value::Bool(_) => Ok(()),
        other => Err(format!("may_reject_config is neither true nor false: {other}")),
    }
}

pub(crate) fn check_step(step: &Value) -> Result<(), String> {
    let op = step["op"].as_str().ok_or("no operation")?;
    let operands = operands(op).ok_or("unknown operation")?;
    check(step, &[&STEP, operands, &REMARKS])
}
