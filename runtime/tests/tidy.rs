//! Reads every source file and manifest of the workspace and keeps the architecture true.
//!
//! Owns the rules no compiler checks: sizes, headers, where `unsafe`, clocks and atomics may stand,
//! and which crate may depend on which. Fails with one line an offence: file, line, remedy. Uses
//! `std` only and never runs a tool, so that it costs milliseconds.
//!
//! Each rule is a function over one [`Source`] or manifest and is shown to catch an offence in the
//! tests at the bottom. What a rule lets through stands in the lists at the top, with its reason;
//! an entry that has become needless is an offence too. Whoever adds one explains it in review.
//! Source: the tidy checks of rustc and TigerBeetle.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;
const LIB_LINES: usize = 80;

/// Functions that may be longer: file, name, reason. Never one of `runtime/src/reactor`.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// Files that may say `unsafe`: path, reason.
const UNSAFE_FILES: &[(&str, &str)] = &[
    ("loadtest/src/client/session.rs", "resumes TLS sessions, which openssl cannot tell apart"),
    ("runtime/tests/allocations.rs", "an allocator that counts is an unsafe trait"),
    ("tls/src/ffi/bio.rs", "OpenSSL calls back to read and write lent buffers"),
    ("tls/src/ffi/library.rs", "start and threading of OpenSSL, through dlsym"),
    ("tls/src/ffi/session.rs", "functions of OpenSSL without a safe binding"),
    ("tls/src/ffi/ticket.rs", "ticket keys, sessions to resume, secrets to overwrite"),
    ("tls/tests/stand_in.rs", "calls a C library that only dlsym can find"),
];

/// Files of the libraries that may name an atomic module: path, reason.
const ATOMIC_FILES: &[(&str, &str)] = &[
    ("groups/src/sync.rs", "the one seam between std and loom"),
    ("runtime/src/balance/load.rs", "how many connections a core has, for others to choose by"),
    ("runtime/src/clock.rs", "a virtual clock that its clones share"),
    ("runtime/src/listen/shared.rs", "whether a listener accepts, for every core to see at once"),
    ("runtime/src/mailbox/sync.rs", "the one seam between std and loom"),
    ("runtime/src/sim/driver.rs", "the waker of the simulated driver"),
    ("runtime/src/watchdog/beat.rs", "a word a core writes and the watchdog reads"),
    ("runtime/src/stats.rs", "counters a core writes and any thread reads"),
];

/// Columns a comment may take; rustfmt.toml says the same for code.
const MAX_WIDTH: usize = 100;

/// How the test module at the end of a file may begin.
const TEST_MODULE: [&str; 2] = ["#[cfg(test)]", "#[cfg(all(test, not(loom)))]"];

/// The one file that reads a clock.
const CLOCK_FILE: &str = "runtime/src/clock.rs";

/// What each library may depend on; ARCHITECTURE.md says what for.
const DEPENDENCIES: &[(&str, &str)] = &[
    ("groups/Cargo.toml", "crossbeam parking_lot rand thiserror"),
    ("core-buf/Cargo.toml", "bitflags bytes rand sluicegate-groups thiserror"),
    (
        "tls/Cargo.toml",
        "foreign-types libc openssl openssl-sys parking_lot rand sluicegate-core-buf \
         sluicegate-groups thiserror",
    ),
    (
        "runtime/Cargo.toml",
        "bitflags bytes core_affinity crossbeam httparse mio num_cpus parking_lot rand rustix \
         signal-hook sluicegate-core-buf sluicegate-groups sluicegate-tls socket2 thiserror tracing",
    ),
];

/// Suites of libevent's that are restated: the suite, where, and how many cases it has upstream.
const PARITY: &[(&str, &str, usize)] = &[
    ("regress_buffer.c", "core-buf/tests/libevent_parity", 61),
    ("regress_bufferevent.c", "runtime/tests/libevent_parity", 39),
    ("regress_listener.c", "runtime/tests/libevent_parity", 11),
    ("regress_ssl.c", "runtime/tests/libevent_parity_tls", 27),
];

/// What any library may depend on while the models run.
const LOOM_DEPENDENCIES: &str = "loom";

#[test]
fn the_tree_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths = Vec::new();
    collect(&root, Path::new(""), &mut paths);
    assert!(paths.iter().any(|path| path == "runtime/tests/tidy.rs"), "read the wrong tree");

    let mut report = String::new();
    let mut restated = vec![Vec::new(); PARITY.len()];
    for path in &paths {
        let text = fs::read_to_string(root.join(path)).expect("sources are readable UTF-8");
        for ((suite, place, _), cases) in PARITY.iter().zip(&mut restated) {
            if path.starts_with(place) {
                cases.extend(restated_cases(suite, &text));
            }
        }
        let mut offences = if path.ends_with(".rs") {
            check_source(&Source::new(path, &text))
        } else {
            check_manifest(path, &text)
        };
        offences.sort();
        for (line, remedy) in offences {
            writeln!(report, "{path}:{line}: {remedy}").expect("a string can be written to");
        }
    }
    for entry in UNSAFE_FILES.iter().chain(ATOMIC_FILES) {
        if !paths.iter().any(|path| path == entry.0) {
            writeln!(report, "runtime/tests/tidy.rs:1: {} is gone, take it off its list", entry.0)
                .expect("a string can be written to");
        }
    }
    for ((suite, place, count), mut cases) in PARITY.iter().zip(restated) {
        cases.sort();
        cases.dedup();
        if cases.len() != *count {
            let found = cases.len();
            writeln!(report, "{place}:1: of {count} cases of {suite} {found} are restated or rows")
                .expect("a string can be written to");
        }
    }
    assert!(report.is_empty(), "the tree is not tidy:\n{report}");
}

/// The cases of a suite of libevent's that have a test in this text, or a row with a reason.
///
/// A test names its case in the first line of its comment; a row begins with it.
fn restated_cases(suite: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let case = |at: usize, start: &str| {
        let rest = lines[at].strip_prefix(start)?.trim_start().strip_prefix(suite)?;
        let (name, rest) = rest.strip_prefix(" `")?.split_once('`')?;
        Some((name.to_owned(), rest))
    };
    let tested = |at: usize| {
        let code = lines[at..].iter().find(|line| !line.starts_with("///"));
        case(at, "///").filter(|_| code == Some(&"#[test]"))
    };
    let explained = |at: usize| {
        case(at, "//! |")
            .filter(|(_, rest)| rest.split('|').nth(1).is_some_and(|why| why.len() > 2))
    };
    (0..lines.len()).filter_map(|at| Some(tested(at).or_else(|| explained(at))?.0)).collect()
}

/// What is wrong: the line, counted from 1, and what to do.
type Offence = (usize, String);

/// A source file in the three forms the rules look at.
struct Source<'a> {
    path: &'a str,
    lines: Vec<&'a str>,
    /// The same lines with comments and the insides of literals blanked.
    code: Vec<String>,
    /// How many lines come before the test module at the end.
    shipped: usize,
}

impl<'a> Source<'a> {
    fn new(path: &'a str, text: &'a str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let code = blank(text).lines().map(str::to_owned).collect();
        let shipped = test_module(&lines).unwrap_or(lines.len());
        Self { path, lines, code, shipped }
    }

    /// The numbers of those of the first `count` lines that are `wrong`, each with `remedy`.
    fn offences(&self, count: usize, remedy: &str, wrong: impl Fn(&str) -> bool) -> Vec<Offence> {
        let found = self.code.iter().take(count).enumerate().filter(|(_, line)| wrong(line));
        found.map(|(at, _)| (at + 1, remedy.to_owned())).collect()
    }

    fn is_library(&self) -> bool {
        let folder = self.path.split('/').next().unwrap_or_default();
        ["groups", "core-buf", "tls", "runtime"].contains(&folder)
    }

    /// Whether the whole file is there for tests or measurements.
    fn is_test(&self) -> bool {
        ["/tests/", "/benches/", "/fuzz/"].iter().any(|folder| self.path.contains(folder))
            || ["/tests.rs", "_loom.rs"].iter().any(|end| self.path.ends_with(end))
    }
}

fn check_source(source: &Source<'_>) -> Vec<Offence> {
    let rules = [
        missing_header,
        wide_comments,
        long_file,
        long_lib,
        long_functions,
        misplaced_unsafe,
        misplaced_clock,
        misplaced_atomics,
        public_globs,
    ];
    rules.iter().flat_map(|rule| rule(source)).collect()
}

fn missing_header(source: &Source<'_>) -> Vec<Offence> {
    if source.lines.first().is_some_and(|line| line.starts_with("//!")) {
        return Vec::new();
    }
    vec![(1, "begin with a `//!` header: what it owns, never does, keeps true".to_owned())]
}

/// Comments stay within the width that the formatter gives code; it leaves them alone.
fn wide_comments(source: &Source<'_>) -> Vec<Offence> {
    let wide = |line: &str| line.trim_start().starts_with("//") && line.chars().count() > MAX_WIDTH;
    let found = source.lines.iter().enumerate().filter(|(_, line)| wide(line));
    found.map(|(at, _)| (at + 1, format!("wrap the comment at {MAX_WIDTH} columns"))).collect()
}

fn long_file(source: &Source<'_>) -> Vec<Offence> {
    let shipped = &source.lines[..source.shipped];
    let count = shipped.iter().filter(|line| !is_comment(line)).count();
    too_many(1, "lines besides comments and tests", count, FILE_LINES)
}

fn long_lib(source: &Source<'_>) -> Vec<Offence> {
    if !source.path.ends_with("src/lib.rs") {
        return Vec::new();
    }
    let lines = source.lines.iter().filter(|line| !is_comment(line) && !line.trim().is_empty());
    too_many(1, "lines in lib.rs besides documentation", lines.count(), LIB_LINES)
}

fn long_functions(source: &Source<'_>) -> Vec<Offence> {
    let mut listed: Vec<&str> = LONG_FUNCTIONS
        .iter()
        .filter(|entry| entry.0 == source.path && !entry.0.starts_with("runtime/src/reactor"))
        .map(|entry| entry.1)
        .collect();
    let mut offences = Vec::new();
    for (name, first, last) in functions(&source.code) {
        let over = too_many(first, &format!("lines in `{name}`"), last - first + 1, FUNCTION_LINES);
        match listed.iter().position(|entry| *entry == name) {
            Some(at) if !over.is_empty() => {
                listed.swap_remove(at);
            }
            _ => offences.extend(over),
        }
    }
    let needless = |name| (1, format!("`{name}` is not long any more, take it off its list"));
    offences.extend(listed.into_iter().map(needless));
    offences
}

fn misplaced_unsafe(source: &Source<'_>) -> Vec<Offence> {
    let remedy = "`unsafe` only in the files tidy.rs lists; find a safe way";
    let found = source.offences(source.code.len(), remedy, |line| has_word(line, "unsafe"));
    unless_listed(source.path, UNSAFE_FILES, found)
}

fn misplaced_clock(source: &Source<'_>) -> Vec<Offence> {
    if !source.is_library() || source.is_test() || source.path == CLOCK_FILE {
        return Vec::new();
    }
    let remedy = format!("take `now` as an argument; only {CLOCK_FILE} reads a clock");
    source.offences(source.shipped, &remedy, |line| {
        line.contains("Instant::now") || has_word(line, "SystemTime")
    })
}

fn misplaced_atomics(source: &Source<'_>) -> Vec<Offence> {
    if !source.is_library() || source.is_test() {
        return Vec::new();
    }
    let remedy = "atomics only in the files tidy.rs lists; give the state to one core";
    let found = source.offences(source.shipped, remedy, |line| has_word(line, "atomic"));
    unless_listed(source.path, ATOMIC_FILES, found)
}

/// Lets a listed file off, and objects to a listed file that has nothing to be let off.
fn unless_listed(path: &str, list: &[(&str, &str)], found: Vec<Offence>) -> Vec<Offence> {
    match (list.iter().any(|entry| entry.0 == path), found.is_empty()) {
        (true, true) => vec![(1, "needs no exception any more, take it off its list".to_owned())],
        (true, false) => Vec::new(),
        (false, _) => found,
    }
}

fn public_globs(source: &Source<'_>) -> Vec<Offence> {
    let mut offences = Vec::new();
    for (at, line) in source.code.iter().enumerate() {
        let line = line.trim_start();
        let visible = line.starts_with("pub use ") || line.starts_with("pub(");
        if !visible || !has_word(line, "use") {
            continue;
        }
        let end = (at..source.code.len()).find(|&end| source.code[end].contains(';'));
        let mut statement = source.code[at..=end.unwrap_or(at)].iter();
        if statement.any(|line| line.contains("::*") || line.trim() == "*,") {
            offences.push((at + 1, "name what is re-exported instead of `*`".to_owned()));
        }
    }
    offences
}

fn check_manifest(path: &str, text: &str) -> Vec<Offence> {
    let allowed = DEPENDENCIES.iter().find(|entry| entry.0 == path).map(|entry| entry.1);
    // These lie outside the workspace and cannot inherit versions from it.
    let inherits = path != "Cargo.toml" && !path.contains("/fuzz/") && !path.contains("/peers/");
    let mut offences = Vec::new();
    let mut section = "";
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            if name.contains("dependencies.") {
                offences.push((at + 1, "write each dependency in one line".to_owned()));
            }
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        if !section.ends_with("dependencies") || line.starts_with('#') {
            continue;
        }
        let name = key.trim().trim_end_matches(".workspace");
        let workspace = key.trim().ends_with(".workspace") || value.contains("workspace = true");
        if inherits && !workspace {
            let remedy = format!("write `{name}.workspace = true`, its version in the root only");
            offences.push((at + 1, remedy));
        }
        let allowed = if section.contains("cfg(loom)") {
            allowed.map(|_| LOOM_DEPENDENCIES)
        } else {
            allowed
        };
        if !section.ends_with("dev-dependencies")
            && allowed.is_some_and(|list| !list.split(' ').any(|entry| entry == name))
        {
            let remedy = format!("`{name}` is not in this crate's row of the dependency table");
            offences.push((at + 1, remedy));
        }
    }
    offences
}

/// Adds the paths of all sources and manifests below `folder` of `root`, build output left out.
fn collect(root: &Path, folder: &Path, paths: &mut Vec<String>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(root.join(folder))
        .expect("folders are readable")
        .map(|entry| folder.join(entry.expect("folders are readable").file_name()))
        .collect();
    entries.sort();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        if root.join(&entry).is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(root, &entry, paths);
            }
        } else if name.ends_with(".rs") || name == "Cargo.toml" {
            paths.push(entry.to_string_lossy().into_owned());
        }
    }
}

/// Blanks comments and the insides of literals, and keeps every line where it is.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let length = comment(&chars[at..]).or_else(|| literal(&chars[at..]));
        let end = (at + length.unwrap_or(1)).min(chars.len());
        let shown = |&c: &char| if length.is_none() || c == '\n' { c } else { ' ' };
        out.extend(chars[at..end].iter().map(shown));
        at = end;
    }
    out
}

/// The length of the comment that `rest` begins with.
fn comment(rest: &[char]) -> Option<usize> {
    if rest.starts_with(&['/', '/']) {
        return Some(rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with(&['/', '*']) {
        return None;
    }
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let step = &rest[at..];
        match (step.starts_with(&['/', '*']), step.starts_with(&['*', '/'])) {
            (true, _) => depth += 1,
            (_, true) => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            break;
        }
    }
    Some(at)
}

/// The length of the string or character literal that `rest` begins with; a lifetime is none.
fn literal(rest: &[char]) -> Option<usize> {
    match rest.first()? {
        '"' => Some(quoted(rest, '"')),
        '\'' if rest.get(1) == Some(&'\\') || rest.get(2) == Some(&'\'') => {
            Some(quoted(rest, '\''))
        }
        'r' => {
            let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
            if rest.get(1 + hashes) != Some(&'"') {
                return None;
            }
            let end: Vec<char> = std::iter::once('"').chain((0..hashes).map(|_| '#')).collect();
            let body = 2 + hashes;
            let found = rest[body..].windows(end.len()).position(|window| window == end);
            Some(found.map_or(rest.len(), |found| body + found + end.len()))
        }
        _ => None,
    }
}

/// The length up to and with the closing `quote`, escapes skipped.
fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Where the test module begins that a file ends with.
fn test_module(lines: &[&str]) -> Option<usize> {
    let start = lines.iter().rposition(|line| TEST_MODULE.contains(line))?;
    let opens = lines[start..].iter().take(4).any(|line| line.starts_with("mod tests {"));
    let end = start + lines[start..].iter().position(|line| *line == "}")?;
    let trailing = lines[end + 1..].iter().all(|line| line.trim().is_empty());
    (opens && trailing).then_some(start)
}

/// The name, first line and last line of every function with a body.
fn functions(code: &[String]) -> Vec<(&str, usize, usize)> {
    let mut found = Vec::new();
    for (at, line) in code.iter().enumerate() {
        let Some(start) = line.find("fn ") else { continue };
        let name = line[start + 3..].split(|c: char| !is_name(c)).next().unwrap_or_default();
        let declares = !name.is_empty() && !line[..start].ends_with(is_name);
        if let Some(last) = declares.then(|| body_end(&code[at..], start)).flatten() {
            found.push((name, at + 1, at + last + 1));
        }
    }
    found
}

/// The line on which the body closes that belongs to the `fn` at column `start` of the first line.
fn body_end(code: &[String], start: usize) -> Option<usize> {
    let (mut braces, mut brackets) = (0, 0);
    for (at, line) in code.iter().enumerate() {
        for c in line[if at == 0 { start } else { 0 }..].chars() {
            match c {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets -= 1,
                '{' => braces += 1,
                '}' => braces -= 1,
                // A declaration in a trait ends before any body begins.
                ';' if braces == 0 && brackets == 0 => return None,
                _ => {}
            }
            if c == '}' && braces == 0 && brackets == 0 {
                return Some(at);
            }
        }
    }
    None
}

fn too_many(line: usize, what: &str, count: usize, most: usize) -> Vec<Offence> {
    let remedy = || (line, format!("{count} {what}, at most {most}: look for a second noun"));
    (count > most).then(remedy).into_iter().collect()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c| !is_name(c)).any(|found| found == word)
}

/// The line numbers a rule objects to in a source of that path.
fn lines_caught(rule: fn(&Source<'_>) -> Vec<Offence>, path: &str, text: &str) -> Vec<usize> {
    rule(&Source::new(path, text)).into_iter().map(|offence| offence.0).collect()
}

#[test]
fn a_comment_has_a_width() {
    let (fits, wide) = ("x".repeat(MAX_WIDTH - 3), "x".repeat(MAX_WIDTH - 2));
    assert_eq!(wide_comments(&Source::new("a.rs", &format!("// {fits}"))), []);
    assert_eq!(wide_comments(&Source::new("a.rs", &format!("//! Fits.\n// {wide}"))).len(), 1);
}

#[test]
fn a_file_begins_with_its_header() {
    for text in ["", "use std::fmt;\n//! Late.", "#![warn(missing_docs)]\n//! Late.", "/// Item."] {
        assert_eq!(lines_caught(missing_header, "a/src/b.rs", text), [1], "{text}");
    }
    assert!(lines_caught(missing_header, "a/src/b.rs", "//! Header.\n").is_empty());
}

#[test]
fn a_file_has_a_size_without_comments_and_tests() {
    let extra = "// Why.\n\n#[cfg(test)]\nmod tests {\n    const A: u8 = 0;\n}\n";
    let with = |count: usize| format!("{}{extra}", "const A: u8 = 0;\n".repeat(count));
    // The empty line before the tests counts.
    assert!(lines_caught(long_file, "a/src/b.rs", &with(FILE_LINES - 1)).is_empty());
    assert_eq!(lines_caught(long_file, "a/src/b.rs", &with(FILE_LINES)), [1]);
    let not_last = format!("{}const B: u8 = 0;\n", with(FILE_LINES - 1));
    assert_eq!(lines_caught(long_file, "a/src/b.rs", &not_last), [1]);
}

#[test]
fn lib_rs_stays_a_table_of_contents() {
    let with = |count: usize| format!("//! Docs.\n\n{}", "mod a;\n".repeat(count));
    assert!(lines_caught(long_lib, "a/src/lib.rs", &with(LIB_LINES)).is_empty());
    assert_eq!(lines_caught(long_lib, "a/src/lib.rs", &with(LIB_LINES + 1)), [1]);
    assert!(lines_caught(long_lib, "a/src/b.rs", &with(LIB_LINES + 1)).is_empty());
}

#[test]
fn a_function_has_a_size() {
    let with = |count: usize| {
        let body = "        let a = ['{', '}'];\n".repeat(count);
        format!("trait T {{\n    fn f(a: [u8; 2]);\n    fn g() {{\n{body}    }}\n}}\nfn h() {{}}\n")
    };
    assert!(lines_caught(long_functions, "a/src/b.rs", &with(FUNCTION_LINES - 2)).is_empty());
    assert_eq!(lines_caught(long_functions, "a/src/b.rs", &with(FUNCTION_LINES - 1)), [3]);
}

#[test]
fn functions_are_found_with_their_ends() {
    let text = "impl A {\n    pub const fn f<'a>(a: &'a str)\n    where\n        B: C,\n    {\n        \
                let s = \"}\";\n    }\n}\ntype F = fn(u8);\nfn g() { if a { b } }\n";
    let source = Source::new("a/src/b.rs", text);
    assert_eq!(functions(&source.code), [("f", 2, 7), ("g", 10, 10)]);
}

#[test]
fn unsafe_stays_in_its_files() {
    let text = "// unsafe\nlet a = \"unsafe\";\nlet b = unsafe { c() };\n#![deny(unsafe_code)]\n";
    assert_eq!(lines_caught(misplaced_unsafe, "groups/src/lane.rs", text), [3]);
    assert!(lines_caught(misplaced_unsafe, "tls/src/ffi/library.rs", text).is_empty());
    assert_eq!(lines_caught(misplaced_unsafe, "tls/src/ffi/library.rs", "//! Safe now."), [1]);
}

#[test]
fn clocks_are_read_in_one_file() {
    let text = "fn f() {\n    Instant::now();\n    SystemTime::UNIX_EPOCH;\n}\n\n\
                #[cfg(test)]\nmod tests {\n    fn f() { Instant::now(); }\n}\n";
    assert_eq!(lines_caught(misplaced_clock, "runtime/src/timer/wheel.rs", text), [2, 3]);
    assert_eq!(lines_caught(misplaced_clock, "groups/src/lane.rs", text), [2, 3]);
    for path in [
        CLOCK_FILE,
        "runtime/tests/echo.rs",
        "groups/benches/lane.rs",
        "runtime/src/timer/tests.rs",
        "examples/src/bin/echo.rs",
        "loadtest/src/main.rs",
    ] {
        assert!(lines_caught(misplaced_clock, path, text).is_empty(), "{path}");
    }
}

#[test]
fn atomics_stay_in_their_files() {
    let text =
        "use std::sync::atomic::AtomicU64;\nuse std::sync::{Arc, atomic};\nuse std::sync::Arc;\n";
    for path in ["groups/src/lane.rs", "core-buf/src/buffer/pool.rs", "tls/src/init.rs"] {
        assert_eq!(lines_caught(misplaced_atomics, path, text), [1, 2], "{path}");
    }
    for path in ["groups/src/sync.rs", "runtime/src/mailbox/wake_loom.rs", "loadtest/src/main.rs"] {
        assert!(lines_caught(misplaced_atomics, path, text).is_empty(), "{path}");
    }
}

#[test]
fn re_exports_are_named() {
    let text = "pub use a::*;\npub(crate) use a::{\n    b,\n    c::*,\n};\npub use a::b;\nuse a::*;\n\
                pub(crate) fn f() {}\n";
    assert_eq!(lines_caught(public_globs, "a/src/b.rs", text), [1, 2]);
}

#[test]
fn a_case_is_restated_by_a_test_or_a_row_with_a_reason() {
    let text = "//! | regress.c `row` | why not |\n//! | regress.c `bare` | |\n\n/// regress.c `a`: x.\n\
                ///\n/// Differs.\n#[test]\nfn a() {}\n/// regress.c `b`: no test.\nfn b() {}\n\
                /// other.c `c`: another suite.\n#[test]\nfn c() {}\n";
    assert_eq!(restated_cases("regress.c", text), ["row", "a"]);
}

#[test]
fn a_dependency_stands_in_its_row_and_its_version_in_the_root() {
    let caught = |path: &str, text: &str| -> Vec<usize> {
        check_manifest(path, text).into_iter().map(|offence| offence.0).collect()
    };
    let text = "[package]\nversion = \"1\"\n[dependencies]\nrand.workspace = true\n\
                mio.workspace = true\nthiserror = \"2\"\n\
                crossbeam = { workspace = true, optional = true }\n\
                [target.'cfg(loom)'.dependencies]\nloom.workspace = true\nrand.workspace = true\n\
                [dev-dependencies]\nproptest.workspace = true\ntempfile = \"3\"\n\
                [build-dependencies]\ncc.workspace = true\n";
    assert_eq!(caught("groups/Cargo.toml", text), [5, 6, 10, 13, 15]);
    assert_eq!(caught("loadtest/Cargo.toml", text), [6, 13]);
    assert!(caught("core-buf/fuzz/Cargo.toml", text).is_empty());
    assert!(caught("Cargo.toml", "[workspace.dependencies]\nmio = \"1\"\n").is_empty());
    assert_eq!(caught("tls/Cargo.toml", "[dependencies.libc]\nworkspace = true\n"), [1]);
}

#[test]
fn comments_and_literals_are_blanked_and_lines_kept() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */\n*/ d", "a             \n   d"),
        (r#"f("a\"b", 'c', '\'', '\\')"#, "f(      ,    ,     ,     )"),
        ("r#\"a\"b\"# c\nr\"\\\" d", "         c\n     d"),
        ("fn f<'a>(b: &'a str) {}", "fn f<'a>(b: &'a str) {}"),
        ("\"a\n// b\" c // \"", "  \n      c     "),
    ] {
        assert_eq!(blank(text), code, "{text}");
    }
}
