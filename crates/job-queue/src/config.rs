//! What a queue may be told about limits and times.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::model::JobId;

/// Limits and times of a queue.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Jobs that this process runs at once, at least 1.
    pub max_concurrent_jobs: usize,
    /// How long a job stays with a worker that gives no sign of life; heartbeats come three times as often.
    pub lease: Duration,
    /// Queued jobs of all owners.
    pub max_queued: usize,
    /// Queued jobs of one owner.
    pub max_queued_per_owner: usize,
    /// Length of a job's payload as JSON.
    pub max_payload_bytes: usize,
    /// How long a job waits before another attempt.
    pub retry_backoff: Backoff,
    /// How long a job that ended is kept.
    pub retention: Duration,
    /// How long an attempt may take to end when it is asked to; then it is dropped.
    pub grace: Duration,
}

impl Default for QueueConfig {
    fn default() -> QueueConfig {
        QueueConfig {
            max_concurrent_jobs: 4,
            lease: Duration::from_secs(30),
            max_queued: 1000,
            max_queued_per_owner: 200,
            max_payload_bytes: 4 << 20,
            retry_backoff: Backoff::default(),
            retention: Duration::from_hours(7 * 24),
            grace: Duration::from_secs(15),
        }
    }
}

/// Exponential backoff: the delay doubles with each attempt, and a jitter takes up to half of it away, so that jobs
/// that failed together don't come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Longest delay after the first attempt.
    pub initial: Duration,
    /// Longest delay after any attempt.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { initial: Duration::from_secs(2), max: Duration::from_mins(2) }
    }
}

impl Backoff {
    /// The delay after attempt number `attempt` (from 1) of a job: the same for the same job and attempt.
    pub fn delay(&self, id: &JobId, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let longest = self.initial.saturating_mul(1 << doublings).min(self.max);
        // Drawn from the id, which is random enough to spread the jobs and keeps a retry repeatable in tests.
        let mut hasher = DefaultHasher::new();
        (id, attempt).hash(&mut hasher);
        let spread = (hasher.finish() >> 32) as f64 / f64::from(u32::MAX);
        longest.mul_f64(1.0 - spread / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;
    use crate::model::JobId;

    #[test]
    fn delays_double_up_to_the_longest_and_are_spread() {
        let backoff = Backoff { initial: Duration::from_secs(2), max: Duration::from_secs(10) };
        for (attempt, longest) in [(0, 2), (1, 2), (2, 4), (3, 8), (4, 10), (40, 10), (u32::MAX, 10)] {
            let longest = Duration::from_secs(longest);
            let delays: Vec<Duration> = (0..100).map(|_| backoff.delay(&JobId::new(), attempt)).collect();
            assert!(delays.iter().all(|delay| (longest / 2..=longest).contains(delay)), "attempt {attempt}");
            let (low, high) = (longest.mul_f64(0.6), longest.mul_f64(0.9));
            assert!(delays.iter().any(|delay| *delay < low) && delays.iter().any(|delay| *delay > high));
        }
        let id = JobId::new();
        assert_eq!(backoff.delay(&id, 1), backoff.delay(&id, 1));
    }
}
