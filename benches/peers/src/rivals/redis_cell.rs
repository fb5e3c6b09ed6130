//! The arithmetic of redis-cell's `CL.THROTTLE`, as a script: not every server may load a module.

use std::{error::Error, time::Duration};

use tokio::time::sleep;

use super::{Member, Setting, script::Limit};

/// Times are in nanoseconds. The key is the TAT, in whole seconds and nanoseconds: a number of Lua does not hold the
/// nanoseconds since 1970. As in the module, it expires after whole milliseconds, rounded down; but not at once, as a command cannot
/// do that. It returns the time to wait; zero if the call is admitted.
///
/// Arguments: the period of a permit, and the permits of a full bucket, which are `max_burst + 1`.
const SCRIPT: &str = "
local time = redis.call('TIME')
local second, now = tonumber(time[1]), time[2] * 1000
local ahead = 0
local kept = redis.call('GET', KEYS[1])
if kept then
  local seconds, nanos = string.match(kept, '(%d+) (%d+)')
  ahead = math.max(0, (seconds - second) * 1e9 + nanos - now)
end
ahead = ahead + ARGV[1]
local early = ahead - ARGV[1] * ARGV[2]
if early > 0 then return early end
local tat = now + ahead
local text = string.format('%.0f %.0f', second + math.floor(tat / 1e9), tat % 1e9)
redis.call('SET', KEYS[1], text, 'PX', math.max(1, math.floor(ahead / 1e6)))
return 0";

/// A process that calls the script.
pub struct RedisCell(Limit);

/// What `CL.THROTTLE` tells of a wait. It counts whole seconds, and one more if there are whole milliseconds beside them.
fn told(wait: Duration) -> Duration {
    let rounded_up = u64::from(wait.subsec_millis() > 0);
    Duration::from_secs(wait.as_secs() + rounded_up)
}

impl Member for RedisCell {
    const NAME: &'static str = "redis-cell's arithmetic";
    const NOTE: &'static str = "As the script before, but as redis-cell's `CL.THROTTLE` computes: in nanoseconds, and the wait \
        in whole seconds. A wait below a millisecond it tells as zero, and the task asks again at once; any other one as a \
        second or more. It is a script here, which costs the server more than the module does.";

    async fn join(server: &str, name: &str, setting: &Setting, _: u32) -> Result<Self, Box<dyn Error>> {
        Ok(Self(Limit::connect(server, SCRIPT, name, setting).await?))
    }

    async fn wait(&self) {
        loop {
            match self.0.ask().await {
                0 => return,
                nanos => {
                    let wait = told(Duration::from_nanos(nanos));
                    if !wait.is_zero() {
                        sleep(wait).await;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rivals::script::first_answers;

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_less_than_a_millisecond_not_at_all() {
        let told = |micros| told(Duration::from_micros(micros)).as_secs();
        assert_eq!([1, 999].map(told), [0, 0]);
        assert_eq!([1_000, 500_000, 1_000_000].map(told), [1, 1, 1]);
        assert_eq!([1_000_999, 1_001_000].map(told), [1, 2]);
    }

    #[test]
    fn it_admits_the_burst_and_tells_the_wait_for_the_next_permit() {
        let Some(answers) = first_answers(|member: &RedisCell| &member.0, 4) else { return };
        assert_eq!(answers[..3], [0, 0, 0]);
        // Twenty minutes, less the time since the first call.
        let wait = Duration::from_nanos(answers[3]);
        assert!((Duration::from_secs(600)..=Duration::from_secs(1200)).contains(&wait), "{wait:?}");
    }
}
