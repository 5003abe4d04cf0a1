//! A set of CPUs, in the form the kernel writes it.
//!
//! Owns one bit for each CPU the kernel's affinity calls can name, and the arithmetic of sets.
//! Knows nothing of the machine; a set may name CPUs that do not exist.
//!
//! Invariants: never empty, because a thread allowed nowhere cannot run; printing a set and
//! parsing the result gives the same set.
//! Source: the kernel's cpulist format; what is read beyond it, such as a stride, is in `list.rs`.

use std::fmt;
use std::str::FromStr;

use super::error::PlacementError;
use super::list::CpuList;
use super::list_error::ListError;

/// A set of CPUs by number; never empty.
///
/// Parses and prints lists such as `3`, `0-3,8` or, with a stride, `0-14:2`. Printing gives the
/// kernel's shortest form: ascending, neighbours joined into ranges, no stride. One allocation
/// of 128 bytes, so that errors can carry sets and stay small.
///
/// # Examples
///
/// ```
/// use sluicegate::CpuSet;
///
/// let cpus: CpuSet = "8,0-6:2,1".parse()?;
/// assert_eq!(cpus.to_string(), "0-2,4,6,8");
/// assert_eq!(cpus.count(), 6);
/// # Ok::<(), sluicegate::placement::ListError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CpuSet {
    words: Box<[u64; Self::CAPACITY / WORD]>,
}

impl CpuSet {
    /// One more than the highest CPU number a set can hold: 1,024, as the kernel's `cpu_set_t`.
    pub const CAPACITY: usize = 1024;

    /// Makes a set of the given CPUs, in any order, repeats allowed.
    ///
    /// # Errors
    ///
    /// [`PlacementError::NoCpu`] without any CPU, [`PlacementError::CpuTooHigh`] for a number the
    /// kernel cannot name: leave it out.
    pub fn from_cpus(cpus: impl IntoIterator<Item = usize>) -> Result<Self, PlacementError> {
        let set = Self::collect(cpus).map_err(|cpu| PlacementError::CpuTooHigh { cpu })?;
        set.ok_or(PlacementError::NoCpu)
    }

    /// The set of the given CPUs if there are any, or the first that is too high.
    pub(super) fn collect(cpus: impl IntoIterator<Item = usize>) -> Result<Option<Self>, usize> {
        let mut words = Words::default();
        for cpu in cpus {
            words.insert(cpu)?;
        }
        Ok(words.into_set())
    }

    /// How many CPUs are in the set; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether a CPU is in the set.
    #[must_use]
    pub fn contains(&self, cpu: usize) -> bool {
        self.words.get(cpu / WORD).is_some_and(|word| word >> (cpu % WORD) & 1 == 1)
    }

    /// The CPUs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..Self::CAPACITY).filter(|&cpu| self.contains(cpu))
    }

    /// The CPUs that are in this set and not in `other`, or nothing if there are none.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Option<Self> {
        self.with(other, |mine, others| mine & !others).into_set()
    }

    /// The CPUs that are in both sets, or nothing if there are none.
    #[must_use]
    pub fn within(&self, other: &Self) -> Option<Self> {
        self.with(other, |mine, others| mine & others).into_set()
    }

    /// The CPUs that are in either set.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self { words: Box::new(self.with(other, |mine, others| mine | others).0) }
    }

    /// Whether every CPU of this set is in `other`.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.words.iter().zip(other.words.iter()).all(|(mine, others)| mine & !others == 0)
    }

    /// The CPUs that are in any of the sets, or nothing without a set.
    pub(super) fn union<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut words = Words::default();
        for set in sets {
            words.0.iter_mut().zip(*set.words).for_each(|(word, more)| *word |= more);
        }
        words.into_set()
    }

    /// Runs of neighbours, ascending.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range> {
        runs(self.iter())
    }

    fn with(&self, other: &Self, join: impl Fn(u64, u64) -> u64) -> Words {
        let mut words = Words(*self.words);
        for (word, other) in words.0.iter_mut().zip(*other.words) {
            *word = join(*word, other);
        }
        words
    }
}

impl FromStr for CpuSet {
    type Err = ListError;

    fn from_str(list: &str) -> Result<Self, ListError> {
        CpuList::numbers(list)
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for range in self.ranges() {
            write!(f, "{separator}{range}")?;
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
    }
}

/// Runs of neighbours among numbers that ascend.
pub(super) fn runs(ascending: impl IntoIterator<Item = usize>) -> impl Iterator<Item = Range> {
    let mut numbers = ascending.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = numbers.next()?;
        let mut last = first;
        while let Some(next) = numbers.next_if(|&next| last.checked_add(1) == Some(next)) {
            last = next;
        }
        Some(Range { first, last })
    })
}

/// Neighbouring numbers, as the kernel writes them.
pub(super) struct Range {
    first: usize,
    last: usize,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last - self.first {
            0 => write!(f, "{}", self.first),
            _ => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// The bits of a set that may still be empty.
#[derive(Default)]
struct Words([u64; CpuSet::CAPACITY / WORD]);

impl Words {
    /// Adds a CPU, or gives its number back if it is too high.
    fn insert(&mut self, cpu: usize) -> Result<(), usize> {
        let word = self.0.get_mut(cpu / WORD).ok_or(cpu)?;
        *word |= 1 << (cpu % WORD);
        Ok(())
    }

    fn into_set(self) -> Option<CpuSet> {
        self.0.iter().any(|&word| word != 0).then_some(CpuSet { words: Box::new(self.0) })
    }
}

/// Bits in a word.
const WORD: usize = u64::BITS as usize;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(list: &str) -> CpuSet {
        list.parse().expect("a valid list")
    }

    fn message(list: &str) -> String {
        list.parse::<CpuSet>().expect_err("an invalid list").to_string()
    }

    #[test]
    fn lists_ranges_and_strides_name_their_cpus() {
        assert_eq!(set("3").iter().collect::<Vec<_>>(), [3]);
        assert_eq!(set("0-3,8\n").iter().collect::<Vec<_>>(), [0, 1, 2, 3, 8]);
        assert_eq!(set(" 0-14:4 , 1 ").iter().collect::<Vec<_>>(), [0, 1, 4, 8, 12]);
        assert_eq!(set("1023").iter().collect::<Vec<_>>(), [1023]);
        assert_eq!(set("5-5").count(), 1);
    }

    #[test]
    fn a_set_prints_in_the_kernels_form() {
        assert_eq!(set("8,0-6:2,1,1").to_string(), "0-2,4,6,8");
        assert_eq!(set("1022-1023,0").to_string(), "0,1022-1023");
    }

    #[test]
    fn only_numbers_make_a_set() {
        for name in ["all", "allowed", "node0", "!3"] {
            let message = message(&format!("1,{name}"));
            assert!(message.contains("at column 3 is not a number"), "{message}");
        }
    }

    #[test]
    fn a_set_is_made_of_cpus_that_the_kernel_can_name() {
        let made = |cpus: &[usize]| CpuSet::from_cpus(cpus.iter().copied());
        assert!(matches!(made(&[]), Err(PlacementError::NoCpu)));
        assert!(matches!(made(&[1024, 1]), Err(PlacementError::CpuTooHigh { cpu: 1024 })));
    }

    #[test]
    fn sets_are_joined_and_cut() {
        assert_eq!(set("0-3").plus(&set("2,9")), set("0-3,9"));
        assert_eq!(set("0-3").within(&set("2,9")), Some(set("2")));
        assert_eq!(set("0-3").within(&set("9")), None);
    }

    #[test]
    fn minus_lists_what_is_only_in_the_first() {
        assert_eq!(set("0-3").minus(&set("1-2,9")), Some(set("0,3")));
        assert_eq!(set("1").minus(&set("0-3")), None);
    }

    proptest! {
        #[test]
        fn printing_and_parsing_gives_the_same_set(
            cpus in proptest::collection::btree_set(0..CpuSet::CAPACITY, 1..80),
        ) {
            let set = CpuSet::from_cpus(cpus.iter().copied()).expect("in range and not empty");
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), cpus.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(set.to_string().parse::<CpuSet>().expect("canonical"), set);
        }

        #[test]
        fn no_text_can_panic_the_parser(text in "[0-9,:a -]{0,20}") {
            if let Ok(set) = text.parse::<CpuSet>() {
                prop_assert!(set.count() > 0);
            }
        }
    }
}
