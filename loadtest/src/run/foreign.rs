//! The command of a server that is not ours.
//!
//! Owns what stands for CPUs and files in it. Words end at white space and nothing is quoted: what
//! needs more is a script. Never starts anything.

use std::path::Path;

use super::tls::Tls;
use crate::cpus;
use crate::exit::{Failure, Outcome};

/// The words of a command with everything filled in.
///
/// # Errors
/// No word, or one that stands for what there is not.
pub(super) fn words(command: &str, cpus: &[usize], tls: Option<&Tls>) -> Outcome<Vec<String>> {
    let refused = |why: &str| Failure::Usage(format!("{command:?}: {why}"));
    let identity = tls.and_then(|tls| tls.identity.as_ref());
    let path = |path: &Path| path.display().to_string();
    let known = [
        ("{cpu}", cpus.first().map(ToString::to_string), NO_CPUS),
        ("{cpus}", (!cpus.is_empty()).then(|| cpus::list(cpus)), NO_CPUS),
        ("{cert}", identity.map(|identity| path(&identity.cert)), NO_TLS),
        ("{key}", identity.map(|identity| path(&identity.key)), NO_TLS),
    ];
    // Once through: a path that is filled in may have braces of its own.
    let filled = |word: &str| {
        let (mut filled, mut rest) = (String::new(), word);
        while let Some(at) = rest.find('{') {
            let (before, named) = rest.split_at(at);
            let meant = known.iter().find(|(name, ..)| named.starts_with(name));
            let (name, value, missing) = meant.ok_or_else(|| refused(UNKNOWN))?;
            filled += before;
            filled += value.as_ref().ok_or_else(|| refused(missing))?;
            rest = &named[name.len()..];
        }
        Ok(filled + rest)
    };
    let words: Vec<String> = command.split_whitespace().map(filled).collect::<Outcome<_>>()?;
    if words.is_empty() {
        return Err(Failure::Usage("an empty command starts no server; give a program".to_owned()));
    }
    Ok(words)
}

const UNKNOWN: &str = "in a command {cpu}, {cpus}, {cert} and {key} have a meaning";
const NO_CPUS: &str = "the server has no CPUs of its own; give --server-cpus or drop {cpu}";
const NO_TLS: &str = "{cert} and {key} are of --tls; give it or drop them";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Identity;
    use crate::client::{TlsTerms, Trust};

    #[test]
    fn braces_of_a_path_mean_nothing() {
        let (cert, key) = (Path::new("/{key}/{cert}"), Path::new("/a{b/key"));
        let identity = Some(Identity::new(Some((cert, key))).unwrap());
        let tls = Tls { terms: TlsTerms::trusting(Trust::Roots(Vec::new())), identity };
        let filled = words("peer {cert} --key={key}:{cpu}", &[3], Some(&tls)).unwrap();
        assert_eq!(filled, ["peer", "/{key}/{cert}", "--key=/a{b/key:3"]);
    }

    #[test]
    fn cpus_and_files_are_filled_in_and_nothing_else_is_guessed() {
        let filled = words("  peer --cpu {cpu}  --all={cpus} ", &[3, 4, 6], None).unwrap();
        assert_eq!(filled, ["peer", "--cpu", "3", "--all=3-4,6"]);
        for (command, cpus, part) in [
            ("peer {cpu}", &[][..], "--server-cpus"),
            ("peer {cert}", &[1], "--tls"),
            ("peer {port}", &[1], "{port}"),
            ("peer {{cpu}}", &[1], "{cpu}, {cpus}"),
            (" ", &[1], "empty command"),
        ] {
            let refused = words(command, cpus, None).unwrap_err();
            assert_eq!(refused.code(), 2, "{command}");
            assert!(refused.to_string().contains(part), "{refused}");
        }
    }
}
