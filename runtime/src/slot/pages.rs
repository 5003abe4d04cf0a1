//! A table that grows by pages: what is in it never moves, and is not copied when it grows.
//!
//! Owns the pages. Slots of a core stand in one, what the driver has under each slot in another;
//! neither has a bound of its own beside the slots', and neither ever shrinks. O(1) in all but
//! [`Pages::iter`].

use std::ops::Range;

/// Places in one page.
pub(crate) const PAGE: usize = 64;

/// Pages of `T`, all places filled.
pub(crate) struct Pages<T>(Vec<Box<[T; PAGE]>>);

impl<T> Pages<T> {
    /// Adds a page; returns its places.
    pub(crate) fn grow(&mut self, mut fill: impl FnMut() -> T) -> Range<u32> {
        let first = (self.0.len() * PAGE) as u32;
        self.0.push(Box::new(std::array::from_fn(|_| fill())));
        first..first + PAGE as u32
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        let place = place as usize;
        Some(&mut self.0.get_mut(place / PAGE)?[place % PAGE])
    }

    /// Two different places at once.
    pub(crate) fn two_mut(&mut self, a: u32, b: u32) -> Option<(&mut T, &mut T)> {
        let (a, b) = (a as usize, b as usize);
        if a / PAGE == b / PAGE {
            let page = self.0.get_mut(a / PAGE)?;
            let [a, b] = page.get_disjoint_mut([a % PAGE, b % PAGE]).ok()?;
            return Some((a, b));
        }
        let [page_a, page_b] = self.0.get_disjoint_mut([a / PAGE, b / PAGE]).ok()?;
        Some((&mut page_a[a % PAGE], &mut page_b[b % PAGE]))
    }

    #[inline]
    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        let place = place as usize;
        Some(&self.0.get(place / PAGE)?[place % PAGE])
    }

    /// All places in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|page| page.iter())
    }
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_all_pages_are_found_and_none_beyond() {
        let (mut pages, mut next) = (Pages::default(), 0..);
        let mut grow = || pages.grow(|| next.next().expect("it is endless"));
        assert_eq!((grow(), grow()), (0..64, 64..128));
        assert!(pages.iter().copied().eq(0..128));
        for place in [0, 63, 64, 127] {
            assert_eq!(pages.get(place), Some(&place));
            assert_eq!(pages.get_mut(place), Some(&mut { place }));
        }
        assert!(pages.get(128).is_none() && pages.get_mut(128).is_none());
    }

    #[test]
    fn two_places_are_two_also_within_a_page() {
        let mut pages = Pages::default();
        let _places = (pages.grow(|| 0), pages.grow(|| 0));
        for (a, b) in [(1, 2), (1, 70), (70, 1)] {
            let (first, second) = pages.two_mut(a, b).expect("there are two");
            (*first, *second) = (a, b);
            assert_eq!((pages.get(a), pages.get(b)), (Some(&a), Some(&b)));
        }
        assert!(pages.two_mut(1, 1).is_none() && pages.two_mut(1, 128).is_none());
    }
}
