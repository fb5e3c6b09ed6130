//! GCRA in a script that every call runs: the usual way to share a quota over Redis.

use std::{error::Error, time::Duration};

use tokio::time::sleep;

use super::{Member, Setting, script::Limit};

/// Times are in microseconds. The key is the TAT. It returns the time to wait; zero if the call is admitted.
///
/// Arguments: the nanoseconds of a permit, and the permits of a full bucket.
const SCRIPT: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = ARGV[1] / 1000
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + interval
local wait = tat - now - ARGV[2] * interval
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.17g', tat), 'PX', math.floor((tat - now) / 1000) + 1)
return 0";

/// A process that calls the script.
pub struct GcraScript(Limit);

impl Member for GcraScript {
    const NAME: &'static str = "GCRA script";
    const NOTE: &'static str = "Each call runs a script on the server. A task that is refused waits for the time that the \
        script tells, and asks again; so tasks do not queue, neither in a process nor at the server.";

    async fn join(server: &str, name: &str, setting: &Setting, _: u32) -> Result<Self, Box<dyn Error>> {
        Ok(Self(Limit::connect(server, SCRIPT, name, setting).await?))
    }

    async fn wait(&self) {
        loop {
            match self.0.ask().await {
                0 => return,
                micros => sleep(Duration::from_micros(micros)).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rivals::script::first_answers;

    #[test]
    fn it_admits_the_burst_and_tells_the_wait_for_the_next_permit() {
        let Some(answers) = first_answers(|member: &GcraScript| &member.0, 4) else { return };
        assert_eq!(answers[..3], [0, 0, 0]);
        // Twenty minutes, less the time since the first call.
        let wait = Duration::from_micros(answers[3]);
        assert!((Duration::from_secs(600)..=Duration::from_secs(1200)).contains(&wait), "{wait:?}");
    }
}
