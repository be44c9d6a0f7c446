//! Argon2id hashes of keys, with the memory given back after each.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;

/// Blocks of 1 KiB that the work area is reserved with. A hash touches 19 MiB of them. Beyond 32 MiB glibc
/// always maps the area by itself and unmaps it when it is freed; a smaller one would stay in the heap of the
/// thread, and so in the idle memory of the server. What isn't touched costs only addresses.
const RESERVED_BLOCKS: usize = 33 * 1024 + 1;

/// Largest work area that a stored hash may ask for, in blocks of 1 KiB (64 MiB).
const MAX_BLOCKS: usize = 64 * 1024;

/// Why a hash could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random(#[source] getrandom::Error),
    /// The stored text is not a PHC string of argon2.
    #[error("the stored hash is not an argon2 PHC string")]
    Format(#[source] argon2::password_hash::Error),
    /// A part of the PHC string is broken.
    #[error("a part of the stored hash is broken")]
    Phc(#[source] argon2::password_hash::phc::Error),
    /// Argon2 refused its parameters.
    #[error("argon2 refused its parameters")]
    Argon2(#[source] argon2::Error),
    /// The stored hash asks for more memory than is allowed.
    #[error("the stored hash asks for {kib} KiB of memory, the most is {MAX_BLOCKS}")]
    Memory {
        /// What it asks for.
        kib: usize,
    },
}

/// Hashes a key with a fresh salt: argon2id with OWASP's least parameters (19 MiB, 2 passes, 1 lane). Blocks
/// for some ten milliseconds.
pub(crate) fn hash(key: &[u8]) -> Result<String, HashError> {
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).map_err(HashError::Random)?;
    let params =
        Params::new(Params::DEFAULT_M_COST, Params::DEFAULT_T_COST, Params::DEFAULT_P_COST, Some(32))
            .map_err(HashError::Argon2)?;
    let phc_params = ParamsString::try_from(&params).map_err(HashError::Format)?;
    let mut output = [0u8; 32];
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    fill(&hasher, key, &salt, &mut output)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: phc_params,
        salt: Some(Salt::new(&salt).map_err(HashError::Phc)?),
        hash: Some(Output::new(&output).map_err(HashError::Phc)?),
    };
    Ok(hash.to_string())
}

/// Whether the key has this hash, compared in constant time. Blocks like [`hash`].
pub(crate) fn verify(key: &[u8], phc: &str) -> Result<bool, HashError> {
    let stored = PasswordHash::new(phc).map_err(HashError::Phc)?;
    let params = Params::try_from(&stored).map_err(HashError::Format)?;
    if params.block_count() > MAX_BLOCKS {
        return Err(HashError::Memory { kib: params.block_count() });
    }
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).map_err(HashError::Format)?;
    let version = match stored.version {
        Some(version) => Version::try_from(version).map_err(HashError::Argon2)?,
        None => Version::default(),
    };
    let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else {
        return Ok(false);
    };
    let mut output = vec![0u8; expected.len()];
    fill(&Argon2::new(algorithm, version, params), key, &salt, &mut output)?;
    Ok(output.ct_eq(expected.as_bytes()).into())
}

fn fill(hasher: &Argon2<'_>, key: &[u8], salt: &[u8], output: &mut [u8]) -> Result<(), HashError> {
    let count = hasher.params().block_count();
    let mut blocks = Vec::with_capacity(count.max(RESERVED_BLOCKS));
    blocks.resize(count, Block::default());
    hasher.hash_password_into_with_memory(key, salt, output, &mut blocks).map_err(HashError::Argon2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_key_and_no_other() {
        let phc = hash(b"secret").unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(verify(b"secret", &phc).unwrap());
        assert!(!verify(b"secret ", &phc).unwrap());
        assert_ne!(hash(b"secret").unwrap(), phc, "the salt is fresh");
    }

    #[test]
    fn hashes_of_the_reference_implementation_are_read() {
        // From the README of https://github.com/P-H-C/phc-winner-argon2, `-t 2 -m 16 -p 1` of "password",
        // salt "somesalt".
        let phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(verify(b"password", phc).unwrap());
    }

    #[test]
    fn a_hash_that_would_eat_the_memory_is_refused() {
        let phc = "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(matches!(verify(b"password", phc), Err(HashError::Memory { .. })));
        assert!(verify(b"password", "plain text").is_err());
    }
}
