//! The index of a finished file.

use crate::layout::{MAX_PROBES, SLOTS};

/// How often an index is doubled at most. Hashes that are evenly distributed never need it, so this is
/// only exceeded by more records with one hash than are looked at.
const DOUBLINGS: u32 = 2;

/// Which record is in which slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// For each slot the number of its record plus one; 0 if the slot is empty. At most half of
    /// them are full.
    pub slots: Vec<u32>,
    /// The records that are too far from where they are looked for, in ascending order.
    pub homeless: Vec<usize>,
}

impl Index {
    /// Enters records with these hashes.
    pub fn of(hashes: &[u32]) -> Self {
        let least = (2 * hashes.len()).next_power_of_two().max(SLOTS);
        let mut doublings = 0;
        loop {
            let index = Self::with(least << doublings, hashes);
            if index.homeless.is_empty() || doublings == DOUBLINGS {
                return index;
            }
            doublings += 1;
        }
    }

    fn with(slots: usize, hashes: &[u32]) -> Self {
        let mut index = Self { slots: vec![0; slots], homeless: Vec::new() };
        let first = |number: usize| hashes[number] as usize & (slots - 1);
        // In the order of their first slots, so that none has to go far to make room for many others.
        let mut numbers: Vec<usize> = (0..hashes.len()).collect();
        numbers.sort_by_key(|number| first(*number));
        for number in numbers {
            let places = (0..MAX_PROBES).map(|probe| (first(number) + probe) & (slots - 1));
            match places.into_iter().find(|place| index.slots[*place] == 0) {
                Some(place) => index.slots[place] = number as u32 + 1,
                None => index.homeless.push(number),
            }
        }
        index.homeless.sort_unstable();
        index
    }
}
