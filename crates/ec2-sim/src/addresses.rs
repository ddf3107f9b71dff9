//! Addresses of instances: private ones from their subnet's block, public ones from blocks that no real network routes.
//!
//! Rule: an address is held by at most one instance at a time, and a freed one is used again as late as possible,
//! because a caller that still holds it must not meet another instance behind it at once.

use std::{collections::BTreeSet, net::Ipv4Addr};

/// A block of addresses.
#[derive(Debug, Clone)]
pub(crate) struct AddressPool {
    base: u32,
    size: u32,
    next: u32,
    used: BTreeSet<u32>,
}

/// AWS keeps the first four addresses of each subnet and the last one.
const RESERVED_FIRST: u32 = 4;
const RESERVED_LAST: u32 = 1;

impl AddressPool {
    /// `size` is a power of two and at least 8.
    pub(crate) fn new(first: Ipv4Addr, size: u32) -> Self {
        Self { base: first.to_bits(), size, next: RESERVED_FIRST, used: BTreeSet::new() }
    }

    pub(crate) fn take(&mut self) -> Option<Ipv4Addr> {
        let (first, end) = (RESERVED_FIRST, self.size - RESERVED_LAST);
        let offset = (self.next..end).chain(first..self.next).find(|offset| !self.used.contains(offset))?;
        self.used.insert(offset);
        self.next = if offset + 1 < end { offset + 1 } else { first };
        Some(Ipv4Addr::from_bits(self.base + offset))
    }

    /// Frees an address; one of another block is none of this pool's business.
    pub(crate) fn free(&mut self, address: Ipv4Addr) {
        if let Some(offset) = address.to_bits().checked_sub(self.base) {
            self.used.remove(&offset);
        }
    }

    pub(crate) fn available(&self) -> u32 {
        let used = u32::try_from(self.used.len()).unwrap_or(u32::MAX);
        (self.size - RESERVED_FIRST - RESERVED_LAST).saturating_sub(used)
    }

    pub(crate) fn cidr(&self) -> String {
        format!("{}/{}", Ipv4Addr::from_bits(self.base), 32 - self.size.ilog2())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::AddressPool;

    #[test]
    fn addresses_are_unique_and_reused_late() {
        let mut pool = AddressPool::new(Ipv4Addr::new(10, 0, 0, 0), 8);
        let taken: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(taken, [4, 5, 6].map(|last| Ipv4Addr::new(10, 0, 0, last)));
        pool.free(taken[1]);
        assert_eq!((pool.available(), pool.take(), pool.take()), (1, Some(taken[1]), None));
        pool.free(taken[0]);
        pool.free(taken[2]);
        assert_eq!(pool.take(), Some(taken[2]));
    }
}
