//! The known word that a mistyped one was probably meant to be.
//!
//! Owns one distance between words and how near is near enough. Never decides what is known; the
//! choices, the names of a CPU list, the variables and the accept modes bring their own words.
//!
//! Source: optimal string alignment, after Damerau (1964).

/// The known word nearest to `word`, the first of equals, if it is near enough to be meant.
///
/// Near is one slip, or one for every three letters; a known word with letters added or left off
/// at its end counts too. Upper and lower case are the same.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > LONGEST_WORD {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let judged = known.into_iter().filter_map(|candidate| {
        let other = candidate.to_ascii_lowercase();
        let slips = distance(&word, &other);
        let begins_alike = word.len().min(other.len()) >= LEAST_BEGINNING
            && (word.starts_with(&other) || other.starts_with(&word));
        let near = slips <= (word.chars().count() / 3).max(1) || begins_alike;
        near.then_some((slips, candidate))
    });
    judged.min_by_key(|&(slips, _)| slips).map(|(_, candidate)| candidate)
}

/// Letters to insert, delete, replace or swap with their neighbour until the words are the same.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let replaced = last[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                let swapped: &[usize] = &before;
                least = least.min(swapped[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

/// Longer words are nothing anybody meant to be one of ours.
const LONGEST_WORD: usize = 64;

/// Letters that two words must share before a common beginning says anything.
const LEAST_BEGINNING: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_each_kind_is_one() {
        for word in ["noe", "nodee", "nede", "ndoe"] {
            assert_eq!(distance(word, "node"), 1, "{word}");
        }
        assert_eq!(distance("", "node"), 4);
        assert_eq!(distance("seed", "smt"), 3);
    }

    #[test]
    fn the_nearest_is_found_and_nothing_far_away() {
        let known = ["none", "each", "set", "node"];
        for (word, meant) in [
            ("nod", Some("node")),
            ("eahc", Some("each")),
            ("SET", Some("set")),
            ("sets", Some("set")),
            ("nodes", Some("node")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word:?}");
        }
        assert_eq!(nearest("phys", ["auto", "physical"]), Some("physical"));
        assert_eq!(nearest(&"n".repeat(100_000), known), None);
    }
}
