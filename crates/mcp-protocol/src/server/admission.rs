//! How many requests are worked on at once: in all, and of one owner, so that one can't take every place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonrpsee::types::ErrorObjectOwned;

use crate::error;

/// The places, shared by all connections.
#[derive(Debug)]
pub(crate) struct Admission {
    max: usize,
    max_per_owner: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_owner: HashMap<String, usize>,
}

/// A place that is taken; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    owner: Option<String>,
}

impl Admission {
    pub(crate) fn new(max: usize, max_per_owner: usize) -> Arc<Admission> {
        Arc::new(Admission { max, max_per_owner, taken: Mutex::default() })
    }

    /// A place for a request of this owner, if it is known who that is.
    pub(crate) fn admit(self: &Arc<Self>, owner: Option<&str>) -> Result<Admitted, ErrorObjectOwned> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.max {
            return Err(error::overloaded(self.max));
        }
        if let Some(owner) = owner {
            let own = taken.by_owner.entry(owner.to_owned()).or_default();
            if *own >= self.max_per_owner {
                return Err(error::owner_overloaded(self.max_per_owner));
            }
            *own += 1;
        }
        taken.all += 1;
        Ok(Admitted { admission: Arc::clone(self), owner: owner.map(str::to_owned) })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut taken = self.admission.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        let Some(owner) = &self.owner else { return };
        if let Some(own) = taken.by_owner.get_mut(owner) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_owner.remove(owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Admission;

    #[test]
    fn one_owner_cannot_take_every_place() {
        let admission = Admission::new(3, 2);
        let first = admission.admit(Some("alice")).unwrap();
        let _second = admission.admit(Some("alice")).unwrap();
        assert!(admission.admit(Some("alice")).unwrap_err().message().contains("2 requests of yours"));
        let _bob = admission.admit(Some("bob")).unwrap();
        assert!(admission.admit(None).unwrap_err().message().contains("3 requests"));
        drop(first);
        assert!(admission.admit(Some("alice")).is_ok(), "a place is free again");
    }
}
