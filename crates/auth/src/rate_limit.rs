//! A token bucket for each client.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::Quota;
use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};

use crate::principal::{Principal, RateLimit};

/// Why a call has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateLimited {
    /// The bucket is empty for now.
    #[error(
        "the limit of {} calls in {} s (burst {}) is used up, try again in {:.1} s",
        limit.rate, limit.per.as_secs(), limit.burst, retry_after.as_secs_f64()
    )]
    Wait {
        /// The exact time until the call would pass, if nothing else is called meanwhile.
        retry_after: Duration,
        /// The client's limit.
        limit: RateLimit,
    },
    /// The call costs more than the bucket ever holds.
    #[error("the call costs {cost}, which is more than the burst of {} ever allows", limit.burst)]
    NeverFits {
        /// What the call costs.
        cost: u32,
        /// The client's limit.
        limit: RateLimit,
    },
}

impl RateLimited {
    /// How long to wait; `None` if waiting doesn't help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            RateLimited::Wait { retry_after, .. } => Some(*retry_after),
            RateLimited::NeverFits { .. } => None,
        }
    }
}

/// Counts the calls of each client. Cheap to clone; clones share their buckets.
#[derive(Clone)]
pub struct RateLimiter {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    buckets: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    limit: RateLimit,
    state: governor::RateLimiter<NotKeyed, InMemoryState, Clock, NoOpMiddleware<Duration>>,
    last_used: Duration,
}

impl Default for RateLimiter {
    fn default() -> Self {
        RateLimiter::new()
    }
}

impl RateLimiter {
    /// A limiter with all buckets full.
    pub fn new() -> RateLimiter {
        RateLimiter::with_clock(Clock::Monotonic(Instant::now()))
    }

    fn with_clock(clock: Clock) -> RateLimiter {
        RateLimiter { inner: Arc::new(Inner { clock, buckets: Mutex::default() }) }
    }

    /// Takes `cost` tokens from the bucket of the principal's client, or none and says how long to wait. A
    /// principal without a limit always passes, as does a cost of 0.
    pub fn check(&self, principal: &Principal, cost: u32) -> Result<(), RateLimited> {
        let (Some(limit), Some(count)) = (principal.rate_limit, NonZeroU32::new(cost)) else {
            return Ok(());
        };
        let clock = &self.inner.clock;
        let now = clock.now();
        let mut buckets = self.inner.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        // A new limit begins with a full bucket of its own.
        if buckets.get(&principal.client_id).is_none_or(|bucket| bucket.limit != limit) {
            buckets.retain(|_, bucket| !bucket.is_full(now));
            buckets.insert(principal.client_id.clone(), Bucket::new(limit, clock.clone(), now));
        }
        let Some(bucket) = buckets.get_mut(&principal.client_id) else {
            return Ok(());
        };
        bucket.last_used = now;
        match bucket.state.check_n(count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => {
                Err(RateLimited::Wait { retry_after: not_until.wait_time_from(clock.now()), limit })
            }
            Err(_) => Err(RateLimited::NeverFits { cost, limit }),
        }
    }

    #[cfg(test)]
    fn buckets(&self) -> usize {
        self.inner.buckets.lock().unwrap().len()
    }
}

impl Bucket {
    fn new(limit: RateLimit, clock: Clock, now: Duration) -> Bucket {
        let burst = NonZeroU32::new(limit.burst).unwrap_or(NonZeroU32::MIN);
        let one_token = (limit.per / limit.rate.max(1)).max(Duration::from_nanos(1));
        // `with_period` refuses only a period of zero.
        let quota = Quota::with_period(one_token).unwrap_or(Quota::per_second(burst)).allow_burst(burst);
        Bucket { limit, state: governor::RateLimiter::direct_with_clock(quota, clock), last_used: now }
    }

    /// Untouched for so long that dropping it changes nothing.
    fn is_full(&self, now: Duration) -> bool {
        let refill = (self.limit.per / self.limit.rate.max(1)).saturating_mul(self.limit.burst);
        now.saturating_sub(self.last_used) >= refill
    }
}

/// Time since the limiter was made.
#[derive(Clone)]
enum Clock {
    Monotonic(Instant),
    #[cfg(test)]
    Manual(governor::clock::FakeRelativeClock),
}

impl governor::clock::Clock for Clock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        match self {
            Clock::Monotonic(start) => start.elapsed(),
            #[cfg(test)]
            Clock::Manual(clock) => clock.now().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn principal(client_id: &str, limit: Option<(u32, u64, u32)>) -> Principal {
        Principal {
            client_id: client_id.to_owned(),
            rate_limit: limit.map(|(rate, per, burst)| RateLimit::new(rate, per, burst).unwrap()),
            ..Principal::local()
        }
    }

    fn limiter() -> (RateLimiter, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (RateLimiter::with_clock(Clock::Manual(clock.clone())), clock)
    }

    #[test]
    fn the_burst_passes_then_the_wait_is_exact() {
        let (limiter, clock) = limiter();
        let alice = principal("alice", Some((10, 60, 20)));
        for _ in 0..20 {
            limiter.check(&alice, 1).unwrap();
        }
        let refused = limiter.check(&alice, 1).unwrap_err();
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(6)));
        assert_eq!(
            refused.to_string(),
            "the limit of 10 calls in 60 s (burst 20) is used up, try again in 6.0 s"
        );
        clock.advance(Duration::from_millis(5999));
        assert_eq!(limiter.check(&alice, 1).unwrap_err().retry_after(), Some(Duration::from_millis(1)));
        clock.advance(Duration::from_millis(1));
        limiter.check(&alice, 1).unwrap();
        limiter.check(&alice, 1).unwrap_err();
    }

    #[test]
    fn a_cost_takes_that_many_tokens_and_a_refusal_takes_none() {
        let (limiter, clock) = limiter();
        let alice = principal("alice", Some((1, 1, 5)));
        limiter.check(&alice, 4).unwrap();
        assert_eq!(limiter.check(&alice, 3).unwrap_err().retry_after(), Some(Duration::from_secs(2)));
        limiter.check(&alice, 1).unwrap();
        clock.advance(Duration::from_secs(5));
        limiter.check(&alice, 5).unwrap();
        limiter.check(&alice, 0).unwrap();
        let never = limiter.check(&alice, 6).unwrap_err();
        assert_eq!(
            (never.retry_after(), never),
            (None, RateLimited::NeverFits { cost: 6, limit: alice.rate_limit.unwrap() })
        );
    }

    #[test]
    fn clients_have_buckets_of_their_own_and_no_limit_is_no_bucket() {
        let (limiter, _clock) = limiter();
        let (alice, bob) = (principal("alice", Some((1, 60, 1))), principal("bob", Some((1, 60, 1))));
        limiter.check(&alice, 1).unwrap();
        limiter.check(&alice, 1).unwrap_err();
        limiter.check(&bob, 1).unwrap();
        for _ in 0..1000 {
            limiter.check(&principal("free", None), 1).unwrap();
        }
        assert_eq!(limiter.buckets(), 2);
    }

    #[test]
    fn a_changed_limit_counts_at_once() {
        let (limiter, _clock) = limiter();
        limiter.check(&principal("alice", Some((1, 60, 1))), 1).unwrap();
        limiter.check(&principal("alice", Some((1, 60, 1))), 1).unwrap_err();
        limiter.check(&principal("alice", Some((5, 60, 5))), 5).unwrap();
    }

    #[test]
    fn full_buckets_are_dropped() {
        let (limiter, clock) = limiter();
        for n in 0..100 {
            limiter.check(&principal(&format!("client {n}"), Some((1, 1, 2))), 1).unwrap();
        }
        assert_eq!(limiter.buckets(), 100);
        clock.advance(Duration::from_secs(2));
        limiter.check(&principal("one more", Some((1, 1, 2))), 1).unwrap();
        assert_eq!(limiter.buckets(), 1);
    }
}
