//! A small deterministic hash: the painter's memory of every parameter, and the key of the cache.

/// 64 bits that depend on all that went in, in its order. Not for secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) fn of(label: &str) -> Self {
        Self(0xcbf2_9ce4_8422_2325).with(label)
    }

    /// This digest with more mixed in. The length goes in too, so that `ab`+`c` isn't `a`+`bc`.
    pub(crate) fn with(self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        let mut hash = self.0;
        for chunk in part.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
        Self(mix(hash ^ (part.len() as u64).wrapping_mul(0xd6e8_feb8_6659_fd93)))
    }

    pub(crate) fn with_number(self, number: f64) -> Self {
        self.with(number.to_bits().to_le_bytes())
    }

    pub(crate) fn with_integer(self, number: i128) -> Self {
        self.with(number.to_le_bytes())
    }

    pub(crate) fn with_digest(self, other: Self) -> Self {
        self.with(other.0.to_le_bytes())
    }

    /// Numbers drawn from this digest, always the same.
    pub(crate) fn numbers(self) -> Numbers {
        Numbers(self.0)
    }
}

/// A stream of pseudo-random numbers (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number of `low..high`.
    pub(crate) fn within(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number of `0..bound`; 0 when the bound is.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound.max(1))) as u32
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
