//! A persistent map for evenly spread ids: two levels of shared nodes over small sorted vectors.
//!
//! Chosen over one hash map because a write copies two nodes of 128 pointers and one vector (60 entries with a
//! million items), and because an entry costs 16 bytes beside the item.

use std::sync::Arc;

/// Children per node; with two levels 16,384 vectors. Empty ones are shared, so a small map stays small.
const FAN: usize = 128;
const FAN_BITS: u32 = FAN.trailing_zeros();

/// An item that carries its id.
pub(super) trait Shelved {
    type Id: Eq;
    fn id(&self) -> &Self::Id;
    /// Ids should differ evenly in the bytes that make the place; if they do not, only speed suffers.
    fn place(id: &Self::Id) -> Place;
}

/// Where an id belongs: which branch, which vector in it, and its rank there. Ranks may collide.
#[derive(Clone, Copy)]
pub(super) struct Place {
    branch: usize,
    leaf: usize,
    rank: u64,
}

impl Place {
    pub(super) fn new(slot: [u8; 2], rank: [u8; 8]) -> Self {
        let slot = usize::from(u16::from_be_bytes(slot)) >> (u16::BITS - 2 * FAN_BITS);
        Self { branch: slot >> FAN_BITS, leaf: slot % FAN, rank: u64::from_be_bytes(rank) }
    }
}

#[derive(Debug)]
struct Entry<T> {
    rank: u64,
    item: Arc<T>,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { rank: self.rank, item: Arc::clone(&self.item) }
    }
}

/// Sorted by rank.
type Leaf<T> = Vec<Entry<T>>;
type Branch<T> = [Arc<Leaf<T>>; FAN];

#[derive(Debug)]
pub(super) struct Shelf<T> {
    branches: Arc<[Arc<Branch<T>>; FAN]>,
    len: usize,
}

impl<T> Clone for Shelf<T> {
    fn clone(&self) -> Self {
        Self { branches: Arc::clone(&self.branches), len: self.len }
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        let leaf = Arc::new(Vec::new());
        let branch = Arc::new(std::array::from_fn(|_| Arc::clone(&leaf)));
        Self { branches: Arc::new(std::array::from_fn(|_| Arc::clone(&branch))), len: 0 }
    }
}

impl<T: Shelved> Shelf<T> {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, id: &T::Id) -> Option<&Arc<T>> {
        let place = T::place(id);
        let leaf = self.branches.get(place.branch)?.get(place.leaf)?;
        let first = leaf.partition_point(|e| e.rank < place.rank);
        leaf.iter().skip(first).take_while(|e| e.rank == place.rank).map(|e| &e.item).find(|item| item.id() == id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.branches.iter().flat_map(|b| b.iter()).flat_map(|l| l.iter()).map(|e| &e.item)
    }

    /// Adds the item, or replaces the one with the same id.
    pub(super) fn put(&mut self, item: Arc<T>) {
        let place = T::place(item.id());
        let Some(leaf) = self.leaf_mut(place) else { return };
        let first = leaf.partition_point(|e| e.rank < place.rank);
        let twin = leaf.iter_mut().skip(first).take_while(|e| e.rank == place.rank).find(|e| e.item.id() == item.id());
        if let Some(twin) = twin {
            twin.item = item;
        } else {
            leaf.insert(first, Entry { rank: place.rank, item });
            self.len += 1;
        }
    }

    /// Removes the item with this id if it is `the_one`; an absent item copies nothing.
    pub(super) fn remove(&mut self, id: &T::Id, the_one: impl Fn(&T) -> bool) {
        if !self.get(id).is_some_and(|item| the_one(item)) {
            return;
        }
        let Some(leaf) = self.leaf_mut(T::place(id)) else { return };
        leaf.retain(|e| e.item.id() != id);
        self.len -= 1;
    }

    /// The vector of a place, no longer shared with any other shelf.
    fn leaf_mut(&mut self, place: Place) -> Option<&mut Leaf<T>> {
        let branch = Arc::make_mut(&mut self.branches).get_mut(place.branch)?;
        Arc::make_mut(branch).get_mut(place.leaf).map(Arc::make_mut)
    }
}
