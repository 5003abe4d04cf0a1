//! A set of CPUs, in the form the kernel writes it.
//!
//! Owns one bit for each CPU the kernel's affinity calls can name, and the list grammar: numbers
//! and ranges joined by commas, a range with an optional stride. Knows nothing of the machine; a
//! set may name CPUs that do not exist.
//!
//! Invariants: never empty, because a thread allowed nowhere cannot run; printing a set and
//! parsing the result gives the same set.
//! Source: the kernel's cpulist format, with the stride of taskset(1).

use std::fmt;
use std::str::FromStr;

use super::error::PlacementError;

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
/// # Ok::<(), sluicegate::PlacementError>(())
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
    /// [`PlacementError::EmptyPiece`] without any CPU, [`PlacementError::CpuTooHigh`] for a number
    /// the kernel cannot name: leave it out.
    pub fn from_cpus(cpus: impl IntoIterator<Item = usize>) -> Result<Self, PlacementError> {
        let mut words = Words::default();
        for cpu in cpus {
            words
                .insert(cpu)
                .map_err(|cpu| PlacementError::CpuTooHigh { piece: cpu.to_string(), cpu })?;
        }
        words.into_set().ok_or_else(|| PlacementError::EmptyPiece { list: String::new() })
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
        let mut words = Words(*self.words);
        for (word, other) in words.0.iter_mut().zip(*other.words) {
            *word &= !other;
        }
        words.into_set()
    }
}

impl FromStr for CpuSet {
    type Err = PlacementError;

    fn from_str(list: &str) -> Result<Self, PlacementError> {
        let mut words = Words::default();
        for piece in list.split(',').map(str::trim) {
            if piece.is_empty() {
                return Err(PlacementError::EmptyPiece { list: list.to_owned() });
            }
            for cpu in piece_cpus(piece)? {
                words
                    .insert(cpu)
                    .map_err(|cpu| PlacementError::CpuTooHigh { piece: piece.to_owned(), cpu })?;
            }
        }
        words.into_set().ok_or_else(|| PlacementError::EmptyPiece { list: list.to_owned() })
    }
}

/// The CPUs one piece of a list names, not yet checked against the capacity.
fn piece_cpus(piece: &str) -> Result<impl Iterator<Item = usize>, PlacementError> {
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let value = plain.then(|| text.parse().ok()).flatten();
        value.ok_or_else(|| PlacementError::NotACpu { piece: piece.to_owned() })
    };
    let (range, stride) = match piece.split_once(':') {
        Some((range, stride)) if range.contains('-') => (range, number(stride)?),
        Some(_) => return Err(PlacementError::NotACpu { piece: piece.to_owned() }),
        None => (piece, 1),
    };
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(range)?, number(range)?),
    };
    if stride == 0 {
        return Err(PlacementError::ZeroStride { piece: piece.to_owned() });
    }
    if last < first {
        return Err(PlacementError::BackwardRange { piece: piece.to_owned(), first, last });
    }
    Ok((first..=last).step_by(stride))
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut next = 0;
        while let Some(first) = (next..Self::CAPACITY).find(|&cpu| self.contains(cpu)) {
            let end =
                (first..Self::CAPACITY).find(|&cpu| !self.contains(cpu)).unwrap_or(Self::CAPACITY);
            match end - first {
                1 => write!(f, "{separator}{first}")?,
                _ => write!(f, "{separator}{first}-{}", end - 1)?,
            }
            separator = ",";
            next = end;
        }
        Ok(())
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
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
    fn errors_quote_the_piece_and_name_the_remedy() {
        assert_eq!(
            message("0-3,x"),
            "CPU list: \"x\" is not a CPU: write a number such as `3`, a range `0-7` or a range \
             with a stride `0-14:2`; `all` and `allowed` stand alone"
        );
        for bad in ["-1", "1-", "1:2", "0-3:", "+1", "0-3-5", "99999999999999999999", "node0"] {
            assert!(message(bad).contains("is not a CPU"), "{bad}: {}", message(bad));
        }
        assert!(message("").contains("empty piece"));
        assert!(message("1,,2").contains("\"1,,2\" has an empty piece"));
        assert!(message("7-3").ends_with("runs backwards: write `3-7`"));
        assert!(message("0-7:0").contains("\"0-7:0\" has a stride of 0"));
        assert!(message("2,1024").contains("names CPU 1024, the highest possible is 1023"));
    }

    #[test]
    fn an_absurd_range_stops_at_the_first_impossible_cpu() {
        assert!(message("0-18446744073709551615").contains("names CPU 1024"));
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
